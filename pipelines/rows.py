"""Good rows go through a step; bad rows travel beside them with their reason."""

import pyarrow as pa
import pyarrow.compute as pc

from operators import columns
from operators.base import Transform
from operators.contract import conform
from operators.errors import CorpusmillError, RowError
from operators.redaction import without_secrets

_MOST_POISON = 16
"""Rows of a unit that may each make a step fail before the fault is the step's, not theirs."""
ERROR = columns.ERROR.name


def through(
    transform: Transform, table: pa.Table, schema: pa.Schema, *, whole: bool = False
) -> pa.Table:
    """Apply a step to the good rows; the output has `schema` and `error`, bad rows last.

    When the step fails, halves of the rows are tried, down to the row that does it, which is
    quarantined, also where the memory does not hold that row. A step that fails on more than a few
    rows of a unit fails as a whole, and so does one that makes something else of half the rows
    (`whole`).
    """
    good, bad = _split(table)
    if whole and len(good):
        out = conform(transform(good), extended(schema))
    else:
        out = _halving(transform, good, schema, [])
    return pa.concat_tables([out, conform(bad, out.schema)]) if len(bad) else out


def accepted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows without an error, with the output schema."""
    return conform(_split(table)[0], schema)


def rejected(table: pa.Table) -> pa.Table:
    """The rows with an error: id, where they came from, why."""
    names = (columns.ID, columns.SOURCE_FILE, columns.SOURCE_ROW, columns.ERROR)
    return conform(_split(table)[1], pa.schema(names))


def _halving(
    transform: Transform, rows: pa.Table, schema: pa.Schema, poison: list[str]
) -> pa.Table:
    whole = extended(schema)
    if not len(rows):
        return whole.empty_table()
    try:
        return conform(transform(rows), whole)
    except Exception as error:
        if isinstance(error, CorpusmillError) and not isinstance(error, RowError):
            raise
        if len(rows) > 1:
            half = len(rows) // 2
            parts = (rows.slice(0, half), rows.slice(half))
            return pa.concat_tables([_halving(transform, part, schema, poison) for part in parts])
        poison.append(without_secrets(f"{type(error).__name__}: {error}"))
        if len(poison) > _MOST_POISON:
            raise
        reason = pa.array([f"the step failed: {poison[-1]}"], columns.ERROR.type)
        return conform(rows.append_column(columns.ERROR, reason), whole)


def extended(schema: pa.Schema) -> pa.Schema:
    """The schema with the `error` column."""
    return schema if ERROR in schema.names else schema.append(columns.ERROR)


def _split(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    if ERROR not in table.column_names:
        return table, table.slice(0, 0)
    is_good = pc.is_null(table[ERROR])
    good = table.filter(is_good).drop_columns([ERROR])
    return good, table.filter(pc.invert(is_good))
