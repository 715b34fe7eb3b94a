"""What operators there are, from their own declarations."""

import inspect
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
    for field, facts in schema["properties"].items():
        default = f", {facts['default']!r} unless said" if "default" in facts else ", required"
        console.print(f"\n  {field}: {_kind(facts)}{default}")
        for line in facts.get("description", "").splitlines():
            console.print(f"      {line}")


def _sentence(operator: type) -> str:
    return (inspect.getdoc(operator) or "").splitlines()[0]


def _kind(facts: dict[str, Any]) -> str:
    """A field's type, or its choices, in words."""
    if "enum" in facts:
        return " | ".join(map(str, facts["enum"]))
    if "anyOf" in facts:
        return " | ".join(_kind(choice) for choice in facts["anyOf"])
    return str(facts.get("type", "anything"))
