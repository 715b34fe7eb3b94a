"""What operators there are, from their own declarations."""

import inspect

from rich.console import Console

from operators.errors import ConfigError
from operators.registry import OPERATORS
from pipelines.mistakes import did_you_mean
from pipelines.schema import operator_schema


def show_operators(name: str = "") -> None:
    """List the operators, or one operator's fields with types, defaults and meaning."""
    console = Console()
    if not name:
        for key, operator in sorted(OPERATORS.items()):
            console.print(f"{key:<12} {_sentence(operator)}", highlight=False)
        return
    if name not in OPERATORS:
        raise ConfigError((f"no operator {name!r}{did_you_mean(name, OPERATORS)}",))
    console.print(inspect.getdoc(OPERATORS[name]) or "", highlight=False)
    for field, facts in operator_schema(name)["properties"].items():
        default = f" = {facts['default']!r}" if "default" in facts else " (required)"
        kinds = (
            facts.get("enum")
            or facts.get("type")
            or [
                choice.get("enum") or choice.get("type", "model")
                for choice in facts.get("anyOf", ())
            ]
        )
        console.print(f"  {field}{default}  {kinds}", highlight=False, markup=False)


def _sentence(operator: type) -> str:
    return (inspect.getdoc(operator) or "").splitlines()[0]
