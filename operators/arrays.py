"""Arrow columns as matrices and ragged rows, without copies where Arrow allows it."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Column = pa.Array | pa.ChunkedArray

MOST_VALUES = int(np.iinfo(np.int32).max)
"""Values that a column of lists holds at most, as its offsets are int32."""


def whole(column: Column) -> pa.Array:
    """A column as one array, however many chunks it has."""
    if isinstance(column, pa.Array):
        return column
    parts: list[pa.Array] = [*column.chunks, pa.array([], column.type)]
    return pa.concat_arrays(parts) if len(parts) != 2 else parts[0]


def to_column(matrix: npt.NDArray[Any]) -> pa.ListArray:
    """Turn an (n, d) matrix into n lists of d values; OverflowError on more than a column holds."""
    rows, dim = matrix.shape
    if rows * dim > MOST_VALUES:
        raise OverflowError(f"{rows:,} lists of {dim:,} values are more than a column holds")
    offsets = (
        np.arange(0, rows * dim + 1, dim, dtype=np.int32) if dim else np.zeros(rows + 1, np.int32)
    )
    return ragged_column(np.ascontiguousarray(matrix).reshape(-1), offsets)


def to_matrix(column: Column, dim: int) -> npt.NDArray[Any]:
    """Turn lists of `dim` values into an (n, dim) matrix; ValueError on nulls or other lengths."""
    values, offsets = to_ragged(column)
    if len(values) != len(column) * dim or (np.diff(offsets) != dim).any():
        raise ValueError(f"a vector column must hold {dim} values in every row")
    return values.reshape(len(column), dim)


def ragged_column(values: npt.NDArray[Any], offsets: npt.NDArray[np.int32]) -> pa.ListArray:
    """Turn flat values and n + 1 offsets into n lists."""
    places: Any = pa.array(offsets.astype(np.int32, copy=False))
    return pa.ListArray.from_arrays(places, pa.array(values))


def to_ragged(column: Column) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
    """Flat values and n + 1 offsets starting at zero; ValueError on a null row."""
    array: Any = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # a chunked array without chunks
        array = pa.array([], column.type)
    if array.null_count:
        raise ValueError("a list column on a data path has a null row")
    offsets = array.offsets.to_numpy(zero_copy_only=False)
    values = array.values.to_numpy(zero_copy_only=False)[offsets[0] : offsets[-1]]
    return values, offsets - offsets[0]


def to_binary(matrix: npt.NDArray[np.uint8]) -> pa.Array:
    """Turn an (n, width) byte matrix into n binary values of `width` bytes."""
    rows, width = matrix.shape
    offsets: Any = (np.arange(rows + 1, dtype=np.int64) * width).astype(np.int32)
    data: Any = np.ascontiguousarray(matrix).reshape(-1)
    return pa.Array.from_buffers(
        pa.binary(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )


def from_binary(column: Column, width: int) -> npt.NDArray[np.uint8]:
    """Turn binary values of `width` bytes into an (n, width) matrix; ValueError on others."""
    if column.null_count:
        raise ValueError("a code column on a data path has a null row")
    fixed: Any = column.cast(
        pa.binary(width)
    )  # an ArrowInvalid, which is a ValueError, on other widths
    array = fixed.combine_chunks() if isinstance(fixed, pa.ChunkedArray) else fixed
    if not len(array):
        return np.zeros((0, width), np.uint8)
    buffer: Any = array.buffers()[1]
    data = np.frombuffer(buffer, np.uint8)
    return data[array.offset * width :][: len(array) * width].reshape(len(array), width)
