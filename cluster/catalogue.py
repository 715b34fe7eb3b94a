"""What operators there are, from their own declarations."""

import inspect
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from operators.errors import ConfigError
from operators.registry import OPERATORS
from pipelines.mistakes import did_you_mean
from pipelines.schema import operator_schema


def show_operators(name: str = "") -> None:
    """List the operators, or one operator's fields with types, defaults and meaning."""
    console = Console(soft_wrap=True, markup=False, highlight=False)
    if not name:
        for key, operator in sorted(OPERATORS.items()):
            console.print(f"{key:<12} {_sentence(operator)}")
        return
    if name not in OPERATORS:
        raise ConfigError((f"no operator {name!r}{did_you_mean(name, OPERATORS)}",))
    schema = operator_schema(name)
    console.print(inspect.getdoc(OPERATORS[name]) or "")
    for line in _told(schema):
        console.print(line)


def _told(schema: dict[str, Any], indent: str = "  ") -> Iterator[str]:
    """A line for each field with its type and default, then what it means and its variants."""
    for field, facts in schema["properties"].items():
        if "const" in facts:
            continue
        default = ", required" if field in schema.get("required", ()) else ""
        default = f", {facts['default']!r} unless said" if "default" in facts else default
        yield f"\n{indent}{field}: {_kind(facts)}{default}"
        for line in facts.get("description", "").splitlines():
            yield f"{indent}    {line}"
        for variant in _variants(facts):
            kind = variant["properties"]["kind"]["const"]
            sentence = " ".join(variant.get("description", "").partition("\n\n")[0].split())
            yield f"\n{indent}    kind: {kind}: {sentence}"
            yield from _told(variant, indent + "        ")


def _variants(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """The dataclasses a field may hold, which its `kind` tells apart."""
    found: list[dict[str, Any]] = facts.get("oneOf", [])
    return found + [each for choice in facts.get("anyOf", []) for each in _variants(choice)]


def _sentence(operator: type) -> str:
    return (inspect.getdoc(operator) or "").splitlines()[0]


def _kind(facts: dict[str, Any]) -> str:
    """A field's type, or its choices, in words."""
    if "enum" in facts:
        return " | ".join(map(str, facts["enum"]))
    if "oneOf" in facts:
        return "{kind: …}"
    if "anyOf" in facts:
        return " | ".join(_kind(choice) for choice in facts["anyOf"])
    return str(facts.get("type", "anything"))
