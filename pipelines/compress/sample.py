"""Rows of a committed vectors table, drawn by their ids."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from operators.arrays import whole
from operators.mine.dense import DenseIndex
from operators.mine.draws import keys
from operators.mine.groups import read_documents, read_vectors
from operators.quantize.kernels import Matrix

pc: Any = pyarrow.compute  # the stubs know no plain values as operands


@dataclass(frozen=True, eq=False)
class Drawn:
    """Ids and vectors of a sample, in an order that the ids and the seed decide."""

    ids: pa.Array
    matrix: Matrix
    of: int
    """Rows of the table."""

    def __len__(self) -> int:
        return len(self.ids)


def drawn(index: DenseIndex, most: int, wanted: Iterable[str] = (), seed: int = 0) -> Drawn:
    """At most `most` rows, those with a wanted id before others; in memory are they and the ids."""
    parts = [whole(read_documents(index.uri, atom, ["id"])["id"]) for atom in index.atoms]
    ids = pa.concat_arrays(parts)
    asked = np.asarray(pc.is_in(ids, pa.array(list(wanted), pa.string())))
    rank = keys(ids, seed, "sample")
    rows = np.lexsort((rank, ~asked))[:most]
    rows = rows[np.argsort(rank[rows], kind="stable")]
    matrix = _vectors(index, rows)
    finite = np.isfinite(matrix).all(axis=1)
    places: Any = pa.array(rows[finite], pa.int64())
    return Drawn(ids.take(places), matrix[finite], len(ids))


def _vectors(index: DenseIndex, rows: npt.NDArray[np.int64]) -> Matrix:
    matrix = np.zeros((len(rows), index.dim), np.float32)
    for atom in index.atoms:
        here = np.flatnonzero((rows >= atom.first_row) & (rows < atom.first_row + atom.rows))
        if len(here):
            block = read_vectors(index.uri, atom, index.column)
            matrix[here] = block.take(rows[here] - atom.first_row)
    return matrix
