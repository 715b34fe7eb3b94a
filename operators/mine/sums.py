"""Rows of codewords under few queries: sums of table entries say which of them are decoded.

A table holds a query's product with every codeword, so a row's rough score is a look-up for each
of its codes. What may be among the nearest by it is decoded and scored as if every row had been.
"""

from dataclasses import dataclass

import numpy as np

from operators.mine.rough import SMALLEST, Room, Rounded, rounded
from operators.quantize.adc import Codes, OfWords, summed
from operators.quantize.dots import dots
from operators.quantize.kernels import Matrix, Rows

_AT_ONCE = 8192
"""Pairs scored at once: no more rows are decoded together, also where all score alike."""


@dataclass(frozen=True, eq=False)
class CodedTile:
    """(n, m) codes of rows, and vectors of the same codewords."""

    codes: Codes
    vectors: OfWords

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True, eq=False)
class Tables:
    """Queries, and of each the product with every codeword."""

    queries: Rounded
    products: Matrix
    """(m, k, q)."""
    reach: np.float32
    """No row of the codewords is longer."""

    step = np.float32(0)
    sharp = False

    def __len__(self) -> int:
        return len(self.queries)

    def cut(self, start: int, stop: int) -> "Tables":
        """Queries [start, stop)."""
        queries = self.queries.cut(start, stop)
        return Tables(queries, self.products[:, :, start:stop], self.reach)

    def rough(self, tile: CodedTile, room: Room) -> Matrix:
        import torch

        found: Matrix = room.scores((len(self), len(tile)), torch.float32).numpy()
        summed(self.products, tile.codes, found)
        return found

    def error(self, tile: CodedTile) -> Matrix:
        """Of products, their sums and decoded values, in any order of each addition."""
        length, dim = self.queries.length, self.queries.floats.shape[1]
        terms = np.float32((dim + len(self.products)) * 2.0**-22)
        taken: Matrix = length * (terms * self.reach)
        taken += SMALLEST * (1 + length + self.reach)
        return taken

    def exact(self, tile: CodedTile, query: Rows, row: Rows) -> Matrix:
        found = np.empty(len(query), np.float32)
        for start in range(0, len(query), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            few, which = np.unique(row[part], return_inverse=True)
            values = tile.vectors.decoded(tile.codes[few])
            found[part] = dots(self.queries.floats, values, query[part], which)
        return found


def tables(asked: Matrix, vectors: OfWords) -> Tables:
    """The (q, dim) queries as such codes are asked; ValueError where one is not finite."""
    reach = np.float32(vectors.reach * 1.0001)
    return Tables(rounded(asked, halves=False), vectors.products(asked), reach)
