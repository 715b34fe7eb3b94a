"""A digest of every row of a table: rows are equal exactly where their digests are."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.storage.content import DIGEST_BYTES
from operators.storage.stored import stored_table

Places = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
_Ragged = tuple[Any, Places, Places]
"""A buffer, and where the bytes of each row begin and end in it."""


def row_digests(table: pa.Table) -> pa.Array:
    """128-bit blake2b of each row's values, as binary; the names of columns are no part of it.

    Values are compared bit by bit, null is no value, and how the table is chunked does not matter.
    """
    starts = np.arange(len(table), dtype=np.int64)
    pieces = [
        piece
        for column in stored_table(table).columns
        for piece in _pieces(_one_array(column), starts, starts + 1, nested=False)
    ]
    fixed = [piece for piece in pieces if isinstance(piece, np.ndarray)]
    heads = np.ascontiguousarray(np.hstack(fixed)) if fixed else np.empty((len(table), 0), np.uint8)
    ragged = [_slices(piece) for piece in pieces if not isinstance(piece, np.ndarray)]
    digests = [
        blake2b(b"".join(row), digest_size=DIGEST_BYTES).digest()
        for row in zip(heads, *ragged, strict=True)
    ]
    return pa.array(digests, pa.binary())


def _slices(piece: _Ragged) -> Iterator[memoryview]:
    buffer, starts, stops = piece
    return map(memoryview(buffer).__getitem__, map(slice, starts.tolist(), stops.tolist()))


def _one_array(column: Any) -> Any:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _pieces(
    array: Any, starts: Places, stops: Places, *, nested: bool
) -> Iterator[Bytes | _Ragged]:
    """What to hash of rows that hold the elements [start, stop): no two contents give the same.

    How many are null, which if any are, and then the values, with lengths before their contents.
    What has the same width in every row of any table comes as a matrix: all but what is `nested`
    in a list.
    """
    valid = np.ones(len(array), np.uint8)
    if array.null_count:
        valid = array.is_valid().to_numpy(zero_copy_only=False).astype(np.uint8)
        before = np.concatenate([[0], np.cumsum(valid == 0)])
        nulls = before[stops] - before[starts]
        yield _numbers(nulls)
        yield valid, starts, np.where(nulls > 0, stops, starts)
    else:
        yield np.zeros((len(starts), 8), np.uint8)
    if pa.types.is_struct(array.type):
        for child in array.flatten():
            yield from _pieces(child, starts, stops, nested=nested)
    elif pa.types.is_list(array.type):
        values, offsets = _list(array)
        yield _lengths(offsets, starts, stops, nested=nested)
        yield from _pieces(values, offsets[starts], offsets[stops], nested=True)
    elif pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        data, offsets = _bytes(array)
        yield _lengths(offsets, starts, stops, nested=nested)
        yield data, offsets[starts], offsets[stops]
    else:
        matrix = _fixed(array, valid)
        width = matrix.shape[1]
        yield (matrix.reshape(-1), starts * width, stops * width) if nested else matrix


def _numbers(values: Places) -> Bytes:
    return np.ascontiguousarray(values, "<i8").view(np.uint8).reshape(-1, 8)


def _lengths(offsets: Places, starts: Places, stops: Places, *, nested: bool) -> Bytes | _Ragged:
    lengths = _numbers(np.diff(offsets))
    return (lengths.reshape(-1), 8 * starts, 8 * stops) if nested else lengths


def _list(array: Any) -> tuple[Any, Places]:
    """Values and offsets of a list column in which null rows hold nothing."""
    offsets = array.offsets.to_numpy().astype(np.int64)
    if array.null_count and np.diff(offsets)[array.is_null().to_numpy(zero_copy_only=False)].any():
        array = array.take(pa.array(np.arange(len(array))))
        offsets = array.offsets.to_numpy().astype(np.int64)
    return array.values, offsets


def _bytes(array: Any) -> tuple[Any, Places]:
    array = array.fill_null(b"" if pa.types.is_binary(array.type) else "")
    _, spans, data = array.buffers()
    offsets = np.frombuffer(spans or bytes(4), np.int32, len(array) + 1, 4 * array.offset)
    return data or b"", offsets.astype(np.int64)


def _fixed(array: Any, valid: Bytes) -> Bytes:
    """(n, width) of the values' bytes, zeros under nulls."""
    if pa.types.is_boolean(array.type):
        flags = array.fill_null(False).to_numpy(zero_copy_only=False).astype(np.uint8)
        return np.reshape(flags, (-1, 1))
    width = array.type.bit_width // 8
    buffer = array.buffers()[1]
    if buffer is None or not len(array):
        return np.zeros((len(array), width), np.uint8)
    flat = np.frombuffer(buffer, np.uint8, len(array) * width, array.offset * width)
    values = flat.reshape(-1, width)
    return values * valid[:, None] if array.null_count else values
