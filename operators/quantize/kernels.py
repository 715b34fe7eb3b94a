"""Scores of float queries against stored vectors, one small class for each kind of code.

A score is the dot product of the float query with what the code stands for, scales included;
code numbers are never multiplied with code numbers. `BitVectors` alone counts equal bits: it
finds candidates for a rescoring, it does not rank.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from operators.quantize.bits import counted, words

Matrix = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


class Vectors(Protocol):
    """Stored vectors in row order, held in memory as they are coded."""

    @property
    def dim(self) -> int:
        """Dimensions of a vector."""
        ...

    def __len__(self) -> int: ...

    def scores(self, queries: Matrix, start: int, stop: int) -> Matrix:
        """Scores (q, stop - start) of (q, dim) queries and rows [start, stop); nearer is higher."""
        ...

    def take(self, rows: Rows) -> Matrix:
        """The (len(rows), dim) floats that the codes of these rows stand for."""
        ...

    def asked(self, queries: Matrix) -> Matrix:
        """The (q, dim) floats whose dot products with `values` are the scores of the queries."""
        ...

    def values(self, start: int, stop: int) -> Matrix:
        """The (stop - start, dim) floats of rows [start, stop) that `asked` is multiplied with."""
        ...


@dataclass(frozen=True, eq=False)
class FloatVectors:
    """Vectors as (n, dim) float32, also those that hold values of half precision."""

    matrix: Matrix

    @property
    def dim(self) -> int:
        return int(self.matrix.shape[1])

    def __len__(self) -> int:
        return len(self.matrix)

    def scores(self, queries: Matrix, start: int, stop: int) -> Matrix:
        return queries @ self.matrix[start:stop].T

    def take(self, rows: Rows) -> Matrix:
        return self.matrix[rows]

    def asked(self, queries: Matrix) -> Matrix:
        return queries

    def values(self, start: int, stop: int) -> Matrix:
        return self.matrix[start:stop]


@dataclass(frozen=True, eq=False)
class Int8Vectors:
    """Vectors as (n, dim) int8 codes and a float32 scale for each row: value = code x scale."""

    codes: npt.NDArray[np.int8]
    scales: Matrix

    @property
    def dim(self) -> int:
        return int(self.codes.shape[1])

    def __len__(self) -> int:
        return len(self.codes)

    def scores(self, queries: Matrix, start: int, stop: int) -> Matrix:
        found = queries @ self.codes[start:stop].astype(np.float32).T
        found *= self.scales[start:stop]
        return found

    def take(self, rows: Rows) -> Matrix:
        return self.codes[rows].astype(np.float32) * self.scales[rows, None]

    def asked(self, queries: Matrix) -> Matrix:
        return queries

    def values(self, start: int, stop: int) -> Matrix:
        return self.codes[start:stop] * self.scales[start:stop, None]


@dataclass(frozen=True, eq=False)
class BitVectors:
    """Vectors as (n, ceil(dim / 8)) packed bytes, one bit for `value > center` in each dimension.

    A score is dim - 2 x Hamming distance to the query's own bits: the dot product of the signs.
    A bit stands for center + spread (1) or center - spread (0).
    """

    packed: npt.NDArray[np.uint8]
    center: Matrix
    spread: Matrix

    @property
    def dim(self) -> int:
        return len(self.center)

    def __len__(self) -> int:
        return len(self.packed)

    def scores(self, queries: Matrix, start: int, stop: int) -> Matrix:
        asked = words(packed_signs(queries, self.center))
        return counted(asked, words(self.packed[start:stop]), self.dim)

    def take(self, rows: Rows) -> Matrix:
        found = self.unpacked(self.packed[rows])
        found *= 2 * self.spread
        found += self.center - self.spread
        return found

    def asked(self, queries: Matrix) -> Matrix:
        return 2 * self.unpacked(packed_signs(queries, self.center)) - 1

    def values(self, start: int, stop: int) -> Matrix:
        return 2 * self.unpacked(self.packed[start:stop]) - 1

    def unpacked(self, packed: npt.NDArray[np.uint8]) -> Matrix:
        """Bits as (n, dim) zeros and ones."""
        return np.unpackbits(packed, axis=1, count=self.dim).astype(np.float32)


@dataclass(frozen=True, eq=False)
class SignVectors:
    """The same bits under a float query: a finer first stage than counting bits."""

    bits: BitVectors

    @property
    def dim(self) -> int:
        return self.bits.dim

    def __len__(self) -> int:
        return len(self.bits)

    def scores(self, queries: Matrix, start: int, stop: int) -> Matrix:
        spread = queries * self.bits.spread
        found: Matrix = (spread + spread) @ self.bits.unpacked(self.bits.packed[start:stop]).T
        found += (queries @ self.bits.center - spread.sum(axis=1))[:, None]
        return found

    def take(self, rows: Rows) -> Matrix:
        return self.bits.take(rows)

    def asked(self, queries: Matrix) -> Matrix:
        return queries

    def values(self, start: int, stop: int) -> Matrix:
        return self.bits.take(np.arange(start, stop))


def packed_signs(matrix: Matrix, center: Matrix) -> npt.NDArray[np.uint8]:
    """One bit a value, 1 where it lies above its center; the first dimension in the highest bit."""
    return np.packbits(matrix > center, axis=1)
