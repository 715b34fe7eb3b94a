"""Asymmetric scores: a float query against codewords, read from one small table a query.

A table holds the query's dot product with every codeword; a row's score is the sum of the entries
that its codes name, which is the dot product with the decoded vector.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from operators.quantize.exact import turned
from operators.quantize.kernels import Matrix, Rows, Vectors

Codes = npt.NDArray[np.uint8]

_AT_ONCE = 8192
"""Rows summed at once: their codes and sums stay in a core's own cache."""
_FARTHEST = 1e18
"""Longer vectors have products that float32 does not hold."""


@dataclass(frozen=True, eq=False)
class ProductVectors:
    """Vectors as (n, m) codes: value block i is word `codes[:, i]` of (m, k, dim / m) `words`."""

    codes: Codes
    words: Matrix

    @property
    def dim(self) -> int:
        return int(self.words.shape[0] * self.words.shape[2])

    @cached_property
    def reach(self) -> float:
        """No decoded vector is longer."""
        return float(_squares(self.words).max(axis=1).sum() ** 0.5)

    def __len__(self) -> int:
        return len(self.codes)

    def products(self, queries: Matrix) -> Matrix:
        """The (m, k, q) dot products of (q, dim) queries with the words."""
        blocks = queries.reshape(len(queries), len(self.words), -1)
        found: Matrix = self.words @ blocks.transpose(1, 2, 0)
        return found

    def scores(self, queries: Matrix, start: int, stop: int) -> Matrix:
        return summed(self.products(queries), self.codes[start:stop])

    def take(self, rows: Rows) -> Matrix:
        return self.decoded(self.codes[rows])

    def asked(self, queries: Matrix) -> Matrix:
        return queries

    def values(self, start: int, stop: int) -> Matrix:
        return self.decoded(self.codes[start:stop])

    def decoded(self, codes: Codes) -> Matrix:
        """The floats that (n, m) codes stand for."""
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

    @cached_property
    def reach(self) -> float:
        """No decoded vector is longer, nor are its words together."""
        return float((_squares(self.words).max(axis=1) ** 0.5).sum())

    def __len__(self) -> int:
        return len(self.codes)

    def coarser(self, stages: int) -> "AdditiveVectors":
        """The same rows by their first stages alone."""
        return AdditiveVectors(self.codes[:, :stages], self.words[:stages])

    def products(self, queries: Matrix) -> Matrix:
        """The (m, k, q) dot products of (q, dim) queries with the words."""
        found: Matrix = self.words @ queries.T
        return found

    def scores(self, queries: Matrix, start: int, stop: int) -> Matrix:
        return summed(self.products(queries), self.codes[start:stop])

    def take(self, rows: Rows) -> Matrix:
        return self.decoded(self.codes[rows])

    def asked(self, queries: Matrix) -> Matrix:
        return queries

    def values(self, start: int, stop: int) -> Matrix:
        return self.decoded(self.codes[start:stop])

    def decoded(self, codes: Codes) -> Matrix:
        """The floats that (n, m) codes stand for."""
        found = np.zeros((len(codes), self.dim), np.float32)
        for stage, words in enumerate(self.words):
            found += words[codes[:, stage]]
        return found


OfWords = ProductVectors | AdditiveVectors


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


def of_words(vectors: Vectors) -> OfWords | None:
    """What holds the codes and words, where scores are sums of table entries; None elsewhere.

    `asked` of the vectors themselves gives the queries that it is asked by.
    """
    inner = vectors.inner if isinstance(vectors, TurnedVectors) else vectors
    if isinstance(inner, OfWords) and inner.reach < _FARTHEST:
        return inner
    return None


def summed(products: Matrix, codes: Codes, into: Matrix | None = None) -> Matrix:
    """(q, n) sums of the entries that (n, m) codes name in (m, k, q) products."""
    queries = products.shape[2]
    found = np.empty((queries, len(codes)), np.float32) if into is None else into
    for start in range(0, len(codes), _AT_ONCE):
        some = codes[start : start + _AT_ONCE]
        total = np.zeros((len(some), queries), np.float32)
        for table, named in zip(products, some.T, strict=True):
            total += table.take(named, axis=0)
        found[:, start : start + _AT_ONCE] = total.T
    return found


def _squares(words: Matrix) -> npt.NDArray[np.float64]:
    """(m, k) squared lengths."""
    wide = words.astype(np.float64)
    found: npt.NDArray[np.float64] = np.einsum("mkd,mkd->mk", wide, wide)
    return found
