"""Which teachers a scores table holds, and which of them a config names."""

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow.compute

from operators.beside import Beside
from operators.errors import ConfigError, TableError
from operators.storage.table import Table

pc: Any = pyarrow.compute  # the stubs do not know every function

_SIMILARITIES = {"bi-encoder": "cosines", "maxsim": "sums of cosines"}
"""Kinds of teachers whose scores are no logits: a sigmoid makes no probabilities of them."""


def fingerprints_of(scores: Beside, named: Sequence[str]) -> tuple[str, ...]:
    """The fingerprint of each named teacher, or of the only one there is where none is named.

    A name is a fingerprint or how it begins, or what the table's commit calls a teacher: its kind
    or its model. TableError where it fits none or several.
    """
    there = _fingerprints(scores)
    if not named:
        if len(there) != 1:
            problem = f"it holds {len(there)} teachers; name one: {', '.join(there)}"
            raise TableError(scores.uri, problem if there else "it holds no scores")
        return (there[0],)
    called = _called(scores)
    return tuple(_of(scores, name, there, called) for name in named)


def check_logits(scores: Beside, teacher: str, wanted: str, instead: str) -> None:
    """ConfigError where the commit calls a teacher, by its fingerprint, one of similarities."""
    kinds = {fields["fingerprint"]: _kind(operator, fields) for operator, fields in _steps(scores)}
    kind = kinds.get(teacher, "")
    if kind in _SIMILARITIES:
        found = f"{kind} gives {_SIMILARITIES[kind]}"
        raise ConfigError((f"{wanted} takes a teacher's logits, and {found}; {instead}",))


def _of(scores: Beside, name: str, there: list[str], called: dict[str, set[str]]) -> str:
    fits = [each for each in there if each.startswith(name) or name in called.get(each, ())]
    if name in there or len(fits) == 1:
        return name if name in there else fits[0]
    if fits:
        raise TableError(scores.uri, f"{name!r} may be any of its teachers {', '.join(fits)}")
    known = [*there, *sorted({each for names in called.values() for each in names})]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
    raise TableError(scores.uri, f"it holds no teacher {name!r}; {hint}")


def _fingerprints(scores: Beside) -> list[str]:
    """Every value of the column `teacher`, sorted; reads no other column."""
    found: set[str] = set()
    for part in Table(scores.uri).read(["teacher"], scores.version):
        found.update(str(each) for each in pc.unique(part["teacher"]))
    return sorted(found)


def _called(scores: Beside) -> dict[str, set[str]]:
    """What the commit calls each fingerprint that it scored with."""
    return {fields["fingerprint"]: _names(operator, fields) for operator, fields in _steps(scores)}


def _steps(scores: Beside) -> Iterator[tuple[str, dict[str, Any]]]:
    """The operators that the commit scored with, and their fields."""
    lineage = Table(scores.uri).lineage(scores.version) or {}
    steps = (each for step in lineage.get("config", {}).get("steps", ()) for each in step.items())
    return ((operator, fields) for operator, fields in steps if fields.get("fingerprint"))


def _names(operator: str, fields: dict[str, Any]) -> set[str]:
    """The kind of a teacher and its model; the operator's name where it has none."""
    if "model" not in fields:
        return {operator}
    return {_kind(operator, fields), str(fields["model"]["path"]).rpartition("/")[2]}


def _kind(operator: str, fields: dict[str, Any]) -> str:
    return str(fields["teacher"]) if "model" in fields else operator
