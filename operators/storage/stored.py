"""Which Arrow types a table stores, and what other types become (ASSETS: Delta's type facts)."""

from typing import Any

import pyarrow as pa

from operators.errors import ContractError


def stored(schema: pa.Schema) -> pa.Schema:
    """The schema as the table holds it: plain lists, strings and binaries, no extension types.

    float16 becomes float32 (every half is a float). ContractError names a column of a type
    that Delta has not: unsigned integers, times, intervals, unions.
    """
    return pa.schema([field.with_type(_plain(field.name, field.type)) for field in schema])


def stored_table(table: pa.Table) -> pa.Table:
    """The rows in the schema that `stored` gives; no copy where nothing changes."""
    schema = stored(table.schema)
    columns = [
        column if column.type == field.type else _storage(column).cast(field.type)
        for column, field in zip(table.columns, schema, strict=True)
    ]
    return pa.table(columns, schema=schema)


def leaf_columns(schema: pa.Schema) -> tuple[list[str], list[str]]:
    """(text and byte leaves, floating leaves) by Parquet column path: dictionaries, byte splits.

    Parquet has no bytes: without a dictionary 384 int8 codes take 533 bytes, with one 357.
    """
    few_valued: list[str] = []
    floats: list[str] = []
    for field in schema:
        _leaves(field.name, field.type, few_valued, floats)
    return few_valued, floats


def _plain(name: str, kind: pa.DataType) -> pa.DataType:
    """The stored form of one type."""
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(name, kind.storage_type)
    if types.is_dictionary(kind):
        return _plain(name, kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(_plain(name, kind.value_type))
    if types.is_struct(kind):
        return pa.struct([f.with_type(_plain(f"{name}.{f.name}", f.type)) for f in kind])
    return _plain_value(name, kind)


def _plain_value(name: str, kind: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_large_string(kind) or types.is_string_view(kind):
        return pa.string()
    if (
        types.is_large_binary(kind)
        or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
    ):
        return pa.binary()
    if types.is_float16(kind):
        return pa.float32()
    if types.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC") if kind.tz else pa.timestamp("us")
    if _is_storable(kind):
        return kind
    raise ContractError("table", name, "a type that Delta has", str(kind))


def _is_storable(kind: pa.DataType) -> bool:
    types = pa.types
    return (
        types.is_signed_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_string(kind)
        or types.is_binary(kind)
        or types.is_date32(kind)
        or types.is_decimal128(kind)
    )


def _storage(column: Any) -> Any:
    if isinstance(column.type, pa.BaseExtensionType):
        chunks: Any = [chunk.storage for chunk in column.chunks]
        kind: Any = column.type.storage_type
        return pa.chunked_array(chunks, kind)
    return column


def _leaves(path: str, kind: pa.DataType, strings: list[str], floats: list[str]) -> None:
    if pa.types.is_list(kind):
        _leaves(f"{path}.list.element", kind.value_type, strings, floats)
    elif pa.types.is_struct(kind):
        for field in kind:
            _leaves(f"{path}.{field.name}", field.type, strings, floats)
    elif pa.types.is_string(kind) or pa.types.is_int8(kind):
        strings.append(path)
    elif pa.types.is_floating(kind):
        floats.append(path)
