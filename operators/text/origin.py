"""Where the texts behind a committed table lie, as the commit of the table says."""

from typing import Any

from pydantic import TypeAdapter

from operators import columns
from operators.beside import Beside
from operators.errors import TableError
from operators.storage.table import Table
from operators.text.source import Source

_CUTTERS = {"passages", "late-passages", "late-tree"}
_PLACE = {columns.CHAR_START.name, columns.CHAR_STOP.name}
"""What a passage has of the place where it was cut, and no other row."""


def lineage_of(table: Beside) -> dict[str, Any]:
    """What the commit of a pinned table recorded; TableError where it was not ours."""
    lineage = Table(table.uri).lineage(table.version)
    if lineage is None:
        raise TableError(table.uri, f"version {table.version} was not committed by corpusmill")
    return lineage


def texts_of(table: Beside) -> Source:
    """The pinned source that a table's texts were read from: its `source_file` is below it.

    A table made of another's rows as they are has the texts of that one. TableError where a commit
    does not say.
    """
    source = _source(table, lineage_of(table)["config"]["read"])
    if source.format == "delta" and not source.text:
        return texts_of(Beside(source.uri, version=source.version))
    return source


def cuts(table: Beside) -> bool:
    """Whether a table's rows are passages of what its commit, or its source's, has read."""
    if not {*Table(table.uri).schema(table.version).names} >= _PLACE:
        return False
    config = lineage_of(table)["config"]
    if _CUTTERS & {name for step in config["steps"] for name in step}:
        return True
    read = config["read"]
    of_table = read["format"] == "delta" and not read["text"]
    return of_table and cuts(Beside(read["uri"], version=read["version"]))


def field_of(table: Beside, operator: str, field: str) -> Source:
    """A source that the commit recorded as a field of one of its steps; TableError for none."""
    found = recorded_field(table, operator, field)
    if found is None:
        problem = (
            f"its commit records no {operator} step with {field}, so their texts are not known"
        )
        raise TableError(table.uri, f"{problem}; name {field} there and run it again")
    return found


def recorded_field(table: Beside, operator: str, field: str) -> Source | None:
    """A source that the commit recorded as a field of one of its steps; None for none."""
    for step in lineage_of(table)["config"]["steps"]:
        if step.get(operator, {}).get(field) is not None:
            return _source(table, step[operator][field])
    return None


def _source(table: Beside, recorded: Any) -> Source:
    try:
        return TypeAdapter(Source).validate_python(recorded)
    except ValueError as error:
        problem = f"its commit does not say where its texts are ({error})"
        raise TableError(table.uri, problem) from error
