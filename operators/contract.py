"""What an operator needs and adds, checked when a plan is bound, not when a worker runs."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from operators.columns import ERROR
from operators.errors import ContractError

LEFT_OUT = "left out"
"""How the `error` of a row begins that is put aside by intent: counted apart, and no fault."""


def require(operator: str, schema: pa.Schema, *needed: pa.Field) -> None:
    """Raise ContractError unless `schema` has every needed column with its type."""
    for field in needed:
        index = schema.get_field_index(field.name)
        if index < 0:
            found = "only " + ", ".join(schema.names)
            raise ContractError(operator, field.name, str(field.type), found)
        if schema.field(index).type != field.type:
            found = f"{field.name} as {schema.field(index).type}"
            raise ContractError(operator, field.name, str(field.type), found)


def extend(schema: pa.Schema, *added: pa.Field) -> pa.Schema:
    """Append columns; a column of the same name is replaced in place."""
    for field in added:
        index = schema.get_field_index(field.name)
        schema = schema.append(field) if index < 0 else schema.set(index, field)
    return schema


def without(schema: pa.Schema, *names: str) -> pa.Schema:
    """Drop the named columns that are there."""
    return pa.schema([field for field in schema if field.name not in names])


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Order and cast `table` to `schema`; a column that only bad rows lack is filled with nulls."""
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def assign(table: pa.Table, field: pa.Field, column: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Put a column where `extend` puts its field: in place of one of that name, else last."""
    index = table.schema.get_field_index(field.name)
    if index < 0:
        return table.append_column(field, column)
    return table.set_column(index, field, column)


def reject(table: pa.Table, bad: npt.NDArray[np.bool_], reason: str) -> pa.Table:
    """Give the bad rows an `error`, unless they have one; the table as it was if none is bad."""
    if not bad.any():
        return table
    nothing = pa.scalar(None, pa.string())
    reasons: Any = pc.if_else(pa.array(bad), pa.scalar(reason), nothing)
    if ERROR.name in table.column_names:
        reasons = pc.coalesce(table[ERROR.name], reasons)
    return assign(table, ERROR, reasons)
