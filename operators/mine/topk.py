"""Exact top-k over blocks of stored vectors in bounded memory, and a second look at few candidates.

A score is a float32 dot product that depends on its two vectors alone, and ties go to the smaller
row: the answer depends neither on the blocks nor on the order of merging.
"""

from collections.abc import Iterable, Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from operators.mine.rough import Bounds, Room, Side, multiplies_halves, passing
from operators.mine.tiles import asked_of, tile_of, tiles
from operators.quantize.dots import dots
from operators.quantize.kernels import Matrix, Rows, Vectors

_QUERIES, _ROWS = 512, 8192
"""Queries and rows scored at once: 8 MiB of rough scores in bfloat16."""
_ALONE = 128
"""Up to so many queries are searched together, and the tiles are dealt to threads."""
_PENDING = 4
"""Rows kept for a query, in multiples of k, before those that fell behind are let go."""
_GATHERED = 1 << 22
"""Values of candidate vectors decoded at once: 16 MiB."""


class Hits(NamedTuple):
    """Best rows of each query, nearest first; where there are fewer, row -1 with score -inf."""

    scores: Matrix
    """(q, k)."""
    rows: Rows
    """(q, k) row numbers over all blocks."""


def topk(
    queries: Matrix,
    blocks: Iterable[Vectors],
    k: int,
    first_row: int = 0,
    known: Bounds | None = None,
) -> Hits:
    """The k best rows of each (q, dim) query; rows are counted over the blocks from `first_row`.

    Blocks are of one column: what decodes the first tells how all are asked. Holds a block, for
    few queries as many tiles as threads, and of each query what may still be among its best.
    `known` are the bounds of all rows of all blocks: completed here, and not found again where the
    rows are asked again. ValueError where a query or a stored vector is not finite.
    """
    _check(queries)
    if k < 1:
        raise ValueError(f"k is {k}; at least one row must be asked for")
    halves = multiplies_halves()
    shares: list[list[_Search]] = []
    row = 0
    with _workers() as (pool, threads):
        rooms = [Room() for _ in range(threads)]
        waiting: list[tuple[Sized, int]] = []
        for block, stored in tiles(blocks, _ROWS, len(queries)):
            if not shares:
                asked = asked_of(block, queries, halves=halves)
                shares = _shares(asked, threads, k)
            part = None if known is None else known.cut(row, row + len(stored))
            tile = tile_of(block, stored, len(queries), halves=halves, known=part, each=pool.map)
            waiting.append((tile, first_row + row))
            row += len(stored)
            if len(queries) > _ALONE:
                list(pool.map(_look, waiting * threads, shares, rooms))
                waiting.clear()
            elif len(waiting) == threads:
                list(pool.map(_look, waiting, shares, rooms))
                waiting.clear()
        list(pool.map(_look, waiting, shares, rooms))
        found = list(pool.map(_hits, shares))
    if not found:
        return _none(len(queries), k)
    if len(queries) <= _ALONE:
        return reduce(partial(merge, k=k), found)
    return _joined(found)


def level(
    queries: Matrix, scores: Matrix, blocks: Iterable[Vectors], first_row: int
) -> Iterator[tuple[Rows, Rows]]:
    """(query, row) of every pair whose score is the (q,) one given, tile by tile."""
    halves = multiplies_halves()
    room = Room()
    for block, stored in tiles(blocks, _ROWS, len(queries)):
        asked = asked_of(block, queries, halves=halves)
        tile = tile_of(block, stored, len(queries), halves=halves)
        query, row = passing(asked, tile, scores - asked.step, 1, room)
        exact = asked.exact(tile, query, row) == scores[query]
        yield query[exact], row[exact] + first_row
        first_row += len(stored)


def merge(a: Hits, b: Hits, k: int) -> Hits:
    """The k best of two answers over different rows; associative and commutative."""
    scores = np.concatenate([a.scores, b.scores], axis=1)
    rows = np.concatenate([a.rows, b.rows], axis=1)
    order = np.lexsort((rows, -scores), axis=1)[:, :k]
    best = _none(len(scores), k)
    best.scores[:, : order.shape[1]] = np.take_along_axis(scores, order, axis=1)
    best.rows[:, : order.shape[1]] = np.take_along_axis(rows, order, axis=1)
    return best


def ranked(scores: Matrix, rows: Rows, k: int) -> Hits:
    """The k best of (q, m) scored rows; what has row -1 has score -inf."""
    return merge(Hits(scores, rows), _none(len(rows), 0), k)


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
            query = part // rows.shape[1]
            few, place = np.unique(rows.ravel()[part] - first, return_inverse=True)
            scores.ravel()[part] = dots(queries, block.take(few), query, place)
        first += len(block)
    if rows.max(initial=-1) >= first:
        raise ValueError(f"candidate row {rows.max()} where there are {first} rows")
    return ranked(scores, rows, k)


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


class _Search:
    """Some queries, and the rows that may be among the k best of each so far."""

    def __init__(self, queries: Side, k: int) -> None:
        self._queries = queries
        self._best = np.full((len(queries), k), -np.inf, np.float32)
        """The k best scores in no order, but the least of them first."""
        self._found: list[tuple[Rows, Rows, Matrix]] = []
        """Query, row and score, by query within a tile, the tiles by row."""

    def look(self, tile: Sized, first_row: int, room: Room) -> None:
        """Take what a tile has; its rows come after those of the tiles before."""
        k = self._best.shape[1]
        floor = self._best[:, 0]
        query, row = passing(self._queries, tile, floor, k, room)
        scores = self._queries.exact(tile, query, row)
        better = np.flatnonzero(scores > floor[query])
        query, row, scores = query[better], row[better], scores[better]
        self._found.append((query, row + first_row, scores))
        padded = _padded(query, scores, len(floor), np.float32(-np.inf))
        both = np.concatenate([self._best, padded], axis=1)
        both.partition(padded.shape[1], axis=1)
        self._best = both[:, padded.shape[1] :].copy()
        if sum(len(each) for each, _, _ in self._found) > _PENDING * k * len(floor):
            self._found = [self._reaching()]

    def hits(self) -> Hits:
        """The k best of each query, ties by row."""
        m, k = self._best.shape
        query, row, score = self._reaching()
        scores = _padded(query, score, m, np.float32(-np.inf))
        rows = _padded(query, row, m, np.int64(-1))
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        best = _none(m, k)
        best.scores[:, : order.shape[1]] = np.take_along_axis(scores, order, axis=1)
        best.rows[:, : order.shape[1]] = np.take_along_axis(rows, order, axis=1)
        return best

    def _reaching(self) -> tuple[Rows, Rows, Matrix]:
        """What may be among a query's k best, by query and row, ties at the end counted."""
        if not self._found:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
        query, row, score = (np.concatenate(each) for each in zip(*self._found, strict=True))
        floor = self._best[:, 0]
        reaching = np.flatnonzero(score >= floor[query])
        order = reaching[np.argsort(query[reaching].astype(np.int16), kind="stable")]
        query, row, score = query[order], row[order], score[order]
        level = score == floor[query]
        above = np.bincount(query[~level], minlength=len(floor))
        kept = ~level | (_places(query, level) < self._best.shape[1] - above[query])
        return query[kept], row[kept], score[kept]


def _look(tile: tuple[Sized, int], searches: "list[_Search]", room: Room) -> None:
    for search in searches:
        search.look(*tile, room)


def _hits(searches: list[_Search]) -> Hits:
    return _joined([search.hits() for search in searches])


def _joined(parts: list[Hits]) -> Hits:
    """The answers to queries that follow each other."""
    return Hits(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _shares(queries: Side, threads: int, k: int) -> list[list[_Search]]:
    """What each thread searches: all of few queries, in its own tiles; else its own of them."""
    size = len(queries)
    if size <= _ALONE:
        return [[_Search(queries, k)] for _ in range(threads)]
    share = -(-size // threads)
    runs = -(-share // _QUERIES)
    step = -(-share // runs)
    return [
        [
            _Search(queries.cut(start, min(start + step, stop)), k)
            for start in range(first, stop, step)
        ]
        for first, stop in ((n, min(n + share, size)) for n in range(0, size, share))
    ]


@contextmanager
def _workers() -> Iterator[tuple[ThreadPoolExecutor, int]]:
    """A thread for each that torch may use, and one torch thread in each of them meanwhile."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            yield pool, threads
    finally:
        torch.set_num_threads(threads)


def _padded(query: Rows, values: npt.NDArray[Any], queries: int, fill: Any) -> npt.NDArray[Any]:
    """Values by ascending query as a row for each query, filled up at its end."""
    counts = np.bincount(query, minlength=queries)
    place = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
    padded = np.full((queries, int(counts.max(initial=0))), fill)
    padded[query, place] = values
    return padded


def _places(query: Rows, marked: npt.NDArray[np.bool_]) -> Rows:
    """For each place, how many marked ones of its query come before it."""
    before: Rows = np.cumsum(marked) - marked
    first = np.searchsorted(query, query)
    places: Rows = before - before[first]
    return places


def _none(queries: int, k: int) -> Hits:
    scores = np.full((queries, k), -np.inf, np.float32)
    return Hits(scores, np.full((queries, k), -1, np.int64))


def _check(queries: Matrix) -> None:
    if not np.isfinite(queries).all():
        raise ValueError("a query vector is not finite")
