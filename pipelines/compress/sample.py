"""Rows of a committed vectors table, drawn by their ids."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from operators import columns
from operators.arrays import whole
from operators.mine.dense import DenseIndex
from operators.mine.draws import keys
from operators.mine.groups import read_documents, read_vectors
from operators.quantize.kernels import Matrix

pc: Any = pyarrow.compute  # the stubs know no plain values as operands

_FIELDS: list[pa.Field] = [
    columns.ID,
    pa.field("key", pa.uint64()),
    pa.field("unasked", pa.bool_()),
    pa.field("row", pa.int64()),
]
_ROWS = pa.schema(_FIELDS)


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
    """At most `most` rows, those with a wanted id before others; held are they and a row group."""
    answers = pa.array(list(wanted), pa.string())
    kept = _ROWS.empty_table()
    for atom in index.atoms:
        ids = whole(read_documents(index.uri, atom, ["id"])["id"])
        unasked = pc.invert(pc.is_in(ids, answers))
        rows = pa.array(np.arange(atom.first_row, atom.first_row + atom.rows))
        drawn_by = pa.array(keys(ids, seed, "sample"))
        kept = pa.concat_tables([kept, pa.table([ids, drawn_by, unasked, rows], schema=_ROWS)])
        if len(kept) > 2 * most:
            kept = _first(kept, most)
    kept = _first(kept, most).sort_by("key")
    matrix = _vectors(index, kept["row"].to_numpy())
    finite: npt.NDArray[np.bool_] = np.all(np.isfinite(matrix), axis=1, keepdims=True)[:, 0]
    ids = whole(kept["id"].filter(pa.array(finite)))
    return Drawn(ids, matrix[finite], len(index))


def _first(rows: pa.Table, most: int) -> pa.Table:
    """Of all rows so far those of the least keys, wanted ones before; of equal ids the first."""
    order: Any = np.lexsort((rows["key"].to_numpy(), rows["unasked"].to_numpy()))[:most]
    return rows.take(pa.array(order))


def _vectors(index: DenseIndex, rows: npt.NDArray[np.int64]) -> Matrix:
    matrix = np.zeros((len(rows), index.dim), np.float32)
    for atom in index.atoms:
        here = np.flatnonzero((rows >= atom.first_row) & (rows < atom.first_row + atom.rows))
        if len(here):
            block = read_vectors(index.uri, atom, index.column)
            matrix[here] = block.take(rows[here] - atom.first_row)
    return matrix
