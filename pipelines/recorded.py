"""A phase as its commit records it, and back: what a later check or repair runs again."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from operators.errors import TableError
from operators.registry import OPERATORS
from operators.text.source import Source
from pipelines.spec import Phase, Step, Write


def record(phase: Phase, source: Source) -> dict[str, Any]:
    """The phase's source and operators as plain JSON; what they run on is not part of it."""
    return {
        "read": asdict(source),
        "steps": [
            {
                step.operator.name: TypeAdapter(type(step.operator)).dump_python(
                    step.operator, mode="json"
                )
            }
            for step in phase.steps
        ],
    }


def rows_held(lineage: Mapping[str, Any]) -> int:
    """Rows of the version that a commit recorded: those its run made, and those that stayed."""
    made: int = (lineage.get("counts") or {}).get("rows_out", 0)
    kept: int = lineage.get("kept_rows", 0)
    return made + kept


def recalled(uri: str, lineage: dict[str, Any]) -> Phase:
    """The phase that made a table; TableError when its commit does not say."""
    try:
        config = lineage["config"]
        steps = tuple(
            Step(TypeAdapter(OPERATORS[name]).validate_python(fields))
            for step in config["steps"]
            for name, fields in step.items()
        )
        source = TypeAdapter(Source).validate_python(config["read"])
        return Phase(lineage["phase"], source, steps, Write(uri))
    except (KeyError, TypeError, ValueError) as error:
        raise TableError(uri, f"its commit does not say how it was made ({error})") from error
