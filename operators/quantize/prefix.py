"""Matryoshka truncation: the first dimensions of a vector, at length one where the whole had it."""

import numpy as np
import pyarrow as pa

from operators import columns
from operators.quantize.kernels import Matrix

_NEAR_ONE = 1e-2
"""How far from one the length of a unit vector may lie that was rounded to bfloat16."""


def prefix(matrix: Matrix, dims: int) -> Matrix:
    """The first `dims` values of each row, scaled to length one if the row had it (2dmse).

    A row of another length keeps its values; so does one whose prefix is zero.
    """
    cut = np.ascontiguousarray(matrix[:, :dims])
    if dims == matrix.shape[1]:
        return cut
    whole, kept = (np.linalg.norm(part.astype(np.float64), axis=1) for part in (matrix, cut))
    scaled = (np.abs(whole - 1) < _NEAR_ONE) & (kept > 0)
    found: Matrix = (cut / np.where(scaled, kept, 1)[:, None]).astype(np.float32)
    return found


def asked_of(field: pa.Field, queries: Matrix) -> Matrix:
    """Queries as a column of vectors is asked: cut as its vectors were before they were coded.

    ValueError where they have neither the column's dimensions nor those it was cut from.
    """
    dim, whole = columns.dim_of(field), columns.truncated_from(field)
    if queries.shape[1] == dim:
        return queries
    if queries.shape[1] != whole:
        cut = f", cut from {whole}" if whole else ""
        found = f"{queries.shape[1]} dimensions"
        raise ValueError(f"{field.name} has vectors of {dim} dimensions{cut}, the queries {found}")
    return prefix(queries, dim)
