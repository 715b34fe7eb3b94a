"""Asymmetric scores: a float query against codewords, read from one small table a query.

A table holds the query's dot product with every codeword; a row's score is the sum of the entries
that its codes name, which is the dot product with the decoded vector.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from operators.quantize.exact import turned
from operators.quantize.kernels import Matrix, Rows, Vectors

Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ProductVectors:
    """Vectors as (n, m) codes: value block i is word `codes[:, i]` of (m, k, dim / m) `words`."""

    codes: Codes
    words: Matrix

    @property
    def dim(self) -> int:
        return int(self.words.shape[0] * self.words.shape[2])

    def __len__(self) -> int:
        return len(self.codes)

    def scores(self, queries: Matrix, start: int, stop: int) -> Matrix:
        blocks = queries.reshape(len(queries), len(self.words), -1)
        return summed(np.einsum("qmd,mkd->mqk", blocks, self.words), self.codes[start:stop])

    def take(self, rows: Rows) -> Matrix:
        return self._decoded(self.codes[rows])

    def asked(self, queries: Matrix) -> Matrix:
        return queries

    def values(self, start: int, stop: int) -> Matrix:
        return self._decoded(self.codes[start:stop])

    def _decoded(self, codes: Codes) -> Matrix:
        found = np.empty((len(codes), *self.words.shape[::2]), np.float32)
        for block, words in enumerate(self.words):
            found[:, block] = words[codes[:, block]]
        return found.reshape(len(codes), self.dim)


@dataclass(frozen=True, eq=False)
class AdditiveVectors:
    """Vectors as (n, m) codes: the sum over i of word `codes[:, i]` of (m, k, dim) `words`."""

    codes: Codes
    words: Matrix

    @property
    def dim(self) -> int:
        return int(self.words.shape[2])

    def __len__(self) -> int:
        return len(self.codes)

    def coarser(self, stages: int) -> "AdditiveVectors":
        """The same rows by their first stages alone."""
        return AdditiveVectors(self.codes[:, :stages], self.words[:stages])

    def scores(self, queries: Matrix, start: int, stop: int) -> Matrix:
        return summed(np.einsum("qd,mkd->mqk", queries, self.words), self.codes[start:stop])

    def take(self, rows: Rows) -> Matrix:
        return self._decoded(self.codes[rows])

    def asked(self, queries: Matrix) -> Matrix:
        return queries

    def values(self, start: int, stop: int) -> Matrix:
        return self._decoded(self.codes[start:stop])

    def _decoded(self, codes: Codes) -> Matrix:
        found = np.zeros((len(codes), self.dim), np.float32)
        for stage, words in enumerate(self.words):
            found += words[codes[:, stage]]
        return found


@dataclass(frozen=True, eq=False)
class TurnedVectors:
    """Vectors that are coded in turned coordinates: `inner` holds `rotation @ vector`.

    The rotation is orthogonal, so a query is turned once and no row is turned back to be scored.
    """

    inner: Vectors
    rotation: Matrix

    @property
    def dim(self) -> int:
        return self.inner.dim

    def __len__(self) -> int:
        return len(self.inner)

    def scores(self, queries: Matrix, start: int, stop: int) -> Matrix:
        return self.inner.scores(self.asked(queries), start, stop)

    def take(self, rows: Rows) -> Matrix:
        return turned(self.inner.take(rows), self.rotation.T)

    def asked(self, queries: Matrix) -> Matrix:
        return self.inner.asked(turned(queries, self.rotation))

    def values(self, start: int, stop: int) -> Matrix:
        return self.inner.values(start, stop)


def summed(tables: Matrix, codes: Codes) -> Matrix:
    """(q, n) sums of the entries that (n, m) codes name in (m, q, k) tables."""
    found = np.zeros((tables.shape[1], len(codes)), np.float32)
    for table, named in zip(tables, codes.T, strict=True):
        found += table[:, named]
    return found
