"""Which columns a source gives, decided from a file's schema when a plan is bound."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.types as types

from operators import columns
from operators.errors import ConfigError, ContractError
from operators.text.source import Source

_MADE = ("id", "text", "content_hash", "source_file", "source_row", "error")


def source_schema(source: Source, file_schema: pa.Schema) -> pa.Schema:
    """The columns of a source's good rows; ContractError or ConfigError where it cannot be mapped.

    Kept columns have the Parquet file's type as Delta stores it, or string from text formats. A
    source without text columns gives every column as it is.
    """
    if not source.text:
        return _as_it_is(source, file_schema)
    for name in (source.id, *source.text, *source.keep):
        if name not in file_schema.names:
            needed = "string or integer" if name == source.id else "string"
            needed = "any type" if name in source.keep else needed
            needed += ", or another column that `id` names" if name == source.id else ""
            raise ContractError("read", name, needed, f"only {', '.join(file_schema.names)}")
    _check(source.id, file_schema, "string or integer", integers=True)
    for name in source.text:
        _check(name, file_schema, "string")
    clashes = [name for name in source.keep if name in _MADE or source.keep.count(name) > 1]
    if clashes:
        made = "is made by the reader itself" if clashes[0] in _MADE else "is named twice"
        raise ConfigError((f"read: keep: column {clashes[0]!r} {made}",))
    return row_schema([kept_field(file_schema.field(name)) for name in source.keep])


def _as_it_is(source: Source, schema: pa.Schema) -> pa.Schema:
    if source.id != columns.ID.name or columns.ID not in schema:
        found = f"only {', '.join(schema.names)}"
        raise ContractError("read", "id", "string, in a table without text", found)
    if source.keep:
        raise ConfigError(("read: keep: a table without text is read with all of its columns",))
    return pa.schema([kept_field(field) for field in schema])


def row_schema(kept: Sequence[pa.Field]) -> pa.Schema:
    """The columns of a row with these kept ones."""
    head: list[pa.Field] = [columns.ID, columns.TEXT, columns.CONTENT_HASH]
    return pa.schema([*head, *kept, columns.SOURCE_FILE, columns.SOURCE_ROW])


def kept_field(field: pa.Field) -> pa.Field:
    """The field of a kept column; of its metadata only what decodes our own vectors and codes."""
    try:
        kept = kept_type(field.type)
    except TypeError:
        needed = "a type that a Delta table can hold (cast it, or leave it out of keep)"
        found = f"{field.name} as {field.type}"
        raise ContractError("read", field.name, needed, found) from None
    ours = {k: v for k, v in (field.metadata or {}).items() if k.startswith(b"corpusmill.")}
    return pa.field(field.name, kept, metadata=ours or None)


def kept_type(found: pa.DataType) -> pa.DataType:
    """The type a kept column has in a Delta table; TypeError where Delta has none for it.

    Large and dictionary types become plain ones, times are kept in microseconds.
    """
    found = found.value_type if isinstance(found, pa.DictionaryType) else found
    if is_text(found):
        return pa.string()
    if types.is_binary(found) or types.is_large_binary(found):
        return pa.binary()
    if isinstance(found, pa.TimestampType):
        return pa.timestamp("us", "UTC" if found.tz else None)
    if types.is_date(found):
        return pa.date32()
    if isinstance(found, (pa.ListType, pa.LargeListType)):
        return pa.list_(kept_type(found.value_type))
    if not _is_plain(found):
        raise TypeError(f"a Delta table has no type for {found}")
    return found


def is_text(found: pa.DataType) -> bool:
    """Whether values of that type are strings."""
    found = found.value_type if isinstance(found, pa.DictionaryType) else found
    return types.is_string(found) or types.is_large_string(found) or types.is_string_view(found)


def plain(array: pa.Array) -> pa.Array:
    """The array without a dictionary."""
    return array.dictionary_decode() if isinstance(array, pa.DictionaryArray) else array


def _is_plain(found: pa.DataType) -> bool:
    return (
        types.is_signed_integer(found)
        or types.is_boolean(found)
        or types.is_float32(found)
        or types.is_float64(found)
        or types.is_decimal128(found)
    )


def _check(name: str, schema: pa.Schema, needed: str, *, integers: bool = False) -> None:
    found = schema.field(name).type
    if not (is_text(found) or (integers and types.is_integer(found))):
        raise ContractError("read", name, needed, f"{name} as {found}")
