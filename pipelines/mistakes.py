"""Every mistake of a config as a sentence: where it is, what was found, what would be right."""

import difflib
from collections.abc import Iterable
from dataclasses import fields as fields_of
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from operators.redaction import without_secrets

T = TypeVar("T")


class Mistakes:
    """Collects sentences while a config is read, so that all of them are told at once."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sentences: list[str] = []

    def add(self, where: str, problem: str) -> None:
        """Remember one mistake at a place such as `phase vectors, step 2, quantize`."""
        sentence = ": ".join(part for part in (self.source, where, problem) if part)
        self.sentences.append(without_secrets(sentence))

    def keys(self, where: str, found: Iterable[str], known: Iterable[str]) -> None:
        """Remember every key that is not known here."""
        choices = list(known)
        for key in found:
            if key not in choices:
                self.add(where, f"no field {key!r}{did_you_mean(key, choices)}")

    def build(self, where: str, kind: type[T], values: Any) -> T | None:
        """Construct `kind` from a mapping; None and remembered mistakes where it cannot be."""
        if not isinstance(values, dict):
            self.add(where, f"expected a mapping of fields, found {short(values)}")
            return None
        try:
            return TypeAdapter(kind).validate_python(values)
        except ValidationError as error:
            fields = [field.name for field in fields_of(cast(Any, kind))]
            for item in error.errors():
                self.add(where, _sentence(item, fields))
            return None


def did_you_mean(word: object, choices: Iterable[object]) -> str:
    """A hint such as `; did you mean 'scheme'?`, or the choices when none is near."""
    known = [str(choice) for choice in choices]
    near = difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there are: {', '.join(sorted(known))}" if known else "; there is none"


def short(value: object) -> str:
    """A value as a user wrote it, cut to one line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _sentence(item: Any, fields: list[str]) -> str:
    path = ".".join(str(part) for part in item["loc"])
    kind = item["type"]
    if kind in {"unexpected_keyword_argument", "extra_forbidden"}:
        *outer, key = (str(part) for part in item["loc"])
        if outer:
            return f"field {'.'.join(outer)!r}: no field {key!r}"
        return f"no field {key!r}{did_you_mean(key, fields)}"
    if kind == "missing" and isinstance(item["loc"][-1], int):
        path = ".".join(str(part) for part in item["loc"][:-1])
        return f"field {path!r}: too few values, found {short(item['input'])}"
    if kind in {"missing", "missing_argument"}:
        return f"needs field {path!r}"
    message = item["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    found = "" if kind == "value_error" else f", found {short(item['input'])}"
    return f"field {path!r}: {message}{found}" if path else message
