"""Exact top-k over blocks of stored vectors in bounded memory, and a second look at few candidates.

Ties go to the smaller row, so the answer depends neither on the blocks nor on the order of merging,
as far as the scores do not: float32 products of other block shapes may differ in their last bit.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from operators.quantize.kernels import Matrix, Rows, Vectors

_QUERIES, _ROWS = 512, 8192
"""Queries and rows scored at once: 16 MiB of scores."""
_FEW = 4
"""Passing scores in a block, in multiples of k for each query, up to which they are just sorted."""
_GATHERED = 1 << 22
"""Values of candidate vectors decoded at once: 16 MiB."""


class Hits(NamedTuple):
    """Best rows of each query, nearest first; where there are fewer, row -1 with score -inf."""

    scores: Matrix
    """(q, k)."""
    rows: Rows
    """(q, k) row numbers over all blocks."""


def topk(queries: Matrix, blocks: Iterable[Vectors], k: int, first_row: int = 0) -> Hits:
    """The k best rows of each (q, dim) query; rows are counted over the blocks from `first_row`.

    Holds one block, its scores for some queries and the best so far. ValueError where queries or
    scores are not finite.
    """
    _check(queries)
    if k < 1:
        raise ValueError(f"k is {k}; at least one row must be asked for")
    best = _none(len(queries), k)
    row = first_row
    for block in blocks:
        for start in range(0, len(block), _ROWS):
            stop = min(start + _ROWS, len(block))
            for first in range(0, len(queries), _QUERIES):
                asked = slice(first, first + _QUERIES)
                so_far = Hits(best.scores[asked], best.rows[asked])
                scores = block.scores(queries[asked], start, stop)
                found = merge(so_far, _passing(scores, k, so_far.scores, row + start), k)
                best.scores[asked], best.rows[asked] = found
        row += len(block)
    return best


def merge(a: Hits, b: Hits, k: int) -> Hits:
    """The k best of two answers over different rows; associative and commutative."""
    scores = np.concatenate([a.scores, b.scores], axis=1)
    rows = np.concatenate([a.rows, b.rows], axis=1)
    order = np.lexsort((rows, -scores), axis=1)[:, :k]
    best = _none(len(scores), k)
    best.scores[:, : order.shape[1]] = np.take_along_axis(scores, order, axis=1)
    best.rows[:, : order.shape[1]] = np.take_along_axis(rows, order, axis=1)
    return best


def rescore(queries: Matrix, rows: Rows, blocks: Iterable[Vectors], k: int) -> Hits:
    """The k best of each query's (q, m) candidate rows by finer vectors; row -1 stands for none.

    The blocks hold rows 0, 1, 2, … in order. ValueError for a candidate beyond them.
    """
    _check(queries)
    scores = np.full(rows.shape, -np.inf, np.float32)
    first = 0
    for block in blocks:
        here = np.flatnonzero((rows >= first) & (rows < first + len(block)))
        step = max(1, _GATHERED // block.dim)
        for part in (here[start : start + step] for start in range(0, len(here), step)):
            vectors = block.take(rows.ravel()[part] - first)
            asked = queries[part // rows.shape[1]]
            scores.ravel()[part] = np.einsum("nd,nd->n", asked, vectors)
        first += len(block)
    if rows.max(initial=-1) >= first:
        raise ValueError(f"candidate row {rows.max()} where there are {first} rows")
    return merge(Hits(scores, rows), _none(len(rows), 0), k)


def two_stage(
    queries: Matrix,
    coarse: Iterable[Vectors],
    fine: Iterable[Vectors],
    k: int,
    candidates: int = 40,
) -> Hits:
    """The k best by `fine` among the `candidates` best by `coarse`; both hold the same rows."""
    found = topk(queries, coarse, max(k, candidates))
    return rescore(queries, found.rows, fine, k)


def _passing(scores: Matrix, k: int, so_far: Matrix, first_row: int) -> Hits:
    """A block's scores that beat a query's k-th best so far; with many, the block's k best."""
    if np.isnan(scores.max(initial=-np.inf)):
        raise ValueError("a score is not a number: a stored vector is not finite")
    passing = scores > so_far[:, -1:]
    if scores.shape[1] > k and np.count_nonzero(passing) > _FEW * k * len(scores):
        passing = _largest(scores, k)
    flat = np.flatnonzero(passing)
    query, column = np.divmod(flat, scores.shape[1])
    counts = np.bincount(query, minlength=len(scores))
    place = np.arange(len(flat)) - np.repeat(np.cumsum(counts) - counts, counts)
    found = _none(len(scores), int(counts.max(initial=0)))
    found.scores[query, place] = scores.ravel()[flat]
    found.rows[query, place] = column + first_row
    return found


def _largest(scores: Matrix, k: int) -> npt.NDArray[np.bool_]:
    """Mark the k largest of each row, the leftmost ones among equals."""
    place = scores.shape[1] - k
    kth = np.partition(scores, place, axis=1)[:, place, None]
    above: npt.NDArray[np.bool_] = scores > kth
    level: npt.NDArray[np.bool_] = scores == kth
    missing = k - np.count_nonzero(above, axis=1, keepdims=True)
    first: npt.NDArray[np.bool_] = np.cumsum(level, axis=1, dtype=np.int32) <= missing
    return above | (level & first)


def _none(queries: int, k: int) -> Hits:
    scores = np.full((queries, k), -np.inf, np.float32)
    return Hits(scores, np.full((queries, k), -1, np.int64))


def _check(queries: Matrix) -> None:
    if not np.isfinite(queries).all():
        raise ValueError("a query vector is not finite")
