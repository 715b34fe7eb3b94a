"""A digest of what a table holds: the same rows give it however they are chunked or sliced."""

from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa

DIGEST_BYTES = 16


def content_digest(table: pa.Table, metadata: dict[str, str]) -> str:
    """128-bit blake2b (hex) over schema, `metadata` and values; what lies under nulls is no value.

    Raises TypeError for a column type whose bytes are not defined here.
    """
    digest = blake2b(digest_size=DIGEST_BYTES)
    _text(digest, *(part for item in sorted(metadata.items()) for part in item))
    for field in table.schema:
        _field(digest, field)
    digest.update(len(table).to_bytes(8, "little"))
    for column in table.columns:
        _values(digest, _one_array(column))
    return digest.hexdigest()


def _one_array(column: Any) -> Any:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _text(digest: Any, *parts: str) -> None:
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    digest.update(b"\xff" * 8)


def _field(digest: Any, field: Any) -> None:
    notes = sorted((field.metadata or {}).items())
    _text(digest, field.name, str(field.type), str(field.nullable))
    _text(digest, *(part.decode("latin-1") for note in notes for part in note))


def _values(digest: Any, array: Any) -> None:
    """Feed a column: which rows are null, then its non-null values only."""
    digest.update(array.null_count.to_bytes(8, "little"))
    if array.null_count:
        digest.update(np.packbits(array.is_valid().to_numpy(zero_copy_only=False)))
        array = array.drop_null()
    kind = array.type
    if pa.types.is_null(kind):
        return
    if pa.types.is_boolean(kind):
        digest.update(np.packbits(array.to_numpy(zero_copy_only=False)))
    elif pa.types.is_struct(kind):
        for child in array.flatten():
            _values(digest, child)
    elif _has_offsets(kind):
        _ragged(digest, array)
    elif pa.types.is_primitive(kind) or pa.types.is_fixed_size_binary(kind):
        _fixed(digest, array)
    else:
        raise TypeError(f"a column of type {kind} has no content digest")


def _has_offsets(kind: pa.DataType) -> bool:
    types = pa.types
    return (
        types.is_string(kind)
        or types.is_binary(kind)
        or types.is_large_string(kind)
        or types.is_large_binary(kind)
        or types.is_list(kind)
        or types.is_large_list(kind)
    )


def _ragged(digest: Any, array: Any) -> None:
    """Feed the lengths, then the bytes or items that the offsets span."""
    is_list = pa.types.is_list(array.type) or pa.types.is_large_list(array.type)
    large = pa.types.is_large_list(array.type) or str(array.type).startswith("large_")
    if not len(array):
        return
    buffers = array.buffers()
    width = np.dtype(np.int64 if large else np.int32)
    offsets = np.frombuffer(buffers[1], width, len(array) + 1, array.offset * width.itemsize)
    digest.update(np.diff(offsets).astype("<i8"))
    if is_list:
        _values(digest, array.values[int(offsets[0]) : int(offsets[-1])])
    elif buffers[2] is not None:
        digest.update(memoryview(buffers[2])[int(offsets[0]) : int(offsets[-1])])


def _fixed(digest: Any, array: Any) -> None:
    buffer = array.buffers()[1]
    if buffer is not None and len(array):
        width = array.type.bit_width // 8
        start = array.offset * width
        digest.update(memoryview(buffer)[start : start + len(array) * width])
