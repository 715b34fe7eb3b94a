"""Arrow columns as matrices and ragged rows, without copies where Arrow allows it."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Column = pa.Array | pa.ChunkedArray


def to_column(matrix: npt.NDArray[Any]) -> pa.ListArray:
    """Turn an (n, d) matrix into n lists of d values."""
    rows, dim = matrix.shape
    offsets = np.arange(0, rows * dim + 1, dim, dtype=np.int32) if dim else np.zeros(rows + 1, np.int32)
    return pa.ListArray.from_arrays(offsets, np.ascontiguousarray(matrix).reshape(-1))


def to_matrix(column: Column, dim: int) -> npt.NDArray[Any]:
    """Turn lists of `dim` values into an (n, dim) matrix; ValueError on nulls or other lengths."""
    values, offsets = to_ragged(column)
    if len(values) != len(column) * dim or (np.diff(offsets) != dim).any():
        raise ValueError(f"a vector column must hold {dim} values in every row")
    return values.reshape(len(column), dim)


def ragged_column(values: npt.NDArray[Any], offsets: npt.NDArray[np.int32]) -> pa.ListArray:
    """Turn flat values and n + 1 offsets into n lists."""
    return pa.ListArray.from_arrays(offsets.astype(np.int32, copy=False), values)


def to_ragged(column: Column) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
    """Flat values and n + 1 offsets starting at zero; ValueError on a null row."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # a chunked array without chunks
        array = pa.array([], column.type)
    if array.null_count:
        raise ValueError("a list column on a data path has a null row")
    offsets = array.offsets.to_numpy(zero_copy_only=False)
    values = array.values.to_numpy(zero_copy_only=False)[offsets[0] : offsets[-1]]
    return values, offsets - offsets[0]
