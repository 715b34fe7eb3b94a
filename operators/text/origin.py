"""Where the texts behind a committed table lie, as the commit of the table says."""

from typing import Any

from pydantic import TypeAdapter

from operators.beside import Beside
from operators.errors import TableError
from operators.storage.table import Table
from operators.text.source import Source


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


def field_of(table: Beside, operator: str, field: str) -> Source:
    """A source that the commit recorded as a field of one of its steps."""
    for step in lineage_of(table)["config"]["steps"]:
        if step.get(operator, {}).get(field) is not None:
            return _source(table, step[operator][field])
    raise TableError(table.uri, f"its commit records no {operator} step with {field}")


def _source(table: Beside, recorded: Any) -> Source:
    try:
        return TypeAdapter(Source).validate_python(recorded)
    except ValueError as error:
        problem = f"its commit does not say where its texts are ({error})"
        raise TableError(table.uri, problem) from error
