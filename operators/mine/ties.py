"""Equal scores ordered by id, so that no answer depends on how a table was cut into files."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from operators.mine.topk import Hits
from operators.quantize.kernels import Matrix, Rows

pc: Any = pyarrow.compute  # the stubs do not know every function

_FIELDS: list[pa.Field] = [
    pa.field("query", pa.int64()),
    pa.field("row", pa.int64()),
    pa.field("id", pa.string()),
]
_LEVEL = pa.schema(_FIELDS)


def by_id(found: Hits, documents: Callable[[Rows], pa.Table], k: int) -> Hits:
    """The first k of (q, m) hits, which come by descending score, with equal scores by id.

    `documents` gives a table with `id` for ascending unique rows; asked only for rows that tie.
    """
    tied = _tied(found)
    query = np.flatnonzero(tied.any(axis=1))
    rows, places = np.unique(found.rows[tied], return_inverse=True)
    if not len(rows):
        return Hits(found.scores[:, :k], found.rows[:, :k])
    rank = np.zeros(found.rows.shape, np.int64)
    rank[tied] = ranks(documents(rows)["id"])[places]
    order = np.lexsort((rank[query], -found.scores[query]), axis=1)
    scores, numbers = found.scores.copy(), found.rows.copy()
    numbers[query] = np.take_along_axis(found.rows[query], order, axis=1)
    return Hits(scores[:, :k], numbers[:, :k])


def ranks(ids: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.int64]:
    """The place of each id in ascending order of its UTF-8 bytes."""
    order = pc.sort_indices(ids).to_numpy()
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return place


def _tied(found: Hits) -> npt.NDArray[np.bool_]:
    """Mark the hits whose score is that of a neighbour."""
    alike = (found.scores[:, 1:] == found.scores[:, :-1]) & (found.rows[:, 1:] >= 0)
    tied = np.zeros(found.rows.shape, bool)
    tied[:, 1:] |= alike
    tied[:, :-1] |= alike
    return tied


def settle(
    queries: Matrix,
    found: Hits,
    k: int,
    again: Callable[[Matrix, Matrix], Iterable[tuple[Rows, Rows]]],
    documents: Callable[[Rows], pa.Table],
) -> Hits:
    """The hits, of which more than k were sought, with every tie at the k-th place that matters.

    Where all hits after the k-th tie with it, more rows may: `again` gives the (query, row) pairs
    that score exactly as much, tile by tile, and of those rows the ones with the smallest ids are
    taken; `documents` gives a table with `id` for ascending unique rows.
    """
    last = found.scores[:, -1]
    open_ends = np.flatnonzero((found.scores[:, k - 1] == last) & (found.rows[:, -1] >= 0))
    if not len(open_ends):
        return found
    best = _LEVEL.empty_table()
    for query, row in again(queries[open_ends], last[open_ends]):
        few, which = np.unique(row, return_inverse=True)
        if len(few):
            rows_of_ids: Any = pa.array(which)
            ids = documents(few)["id"].take(rows_of_ids)
            some = pa.table([pa.array(query), pa.array(row), ids], schema=_LEVEL)
            best = _smallest(pa.concat_tables([best, some]), k)
    scores, rows = found.scores.copy(), found.rows.copy()
    for place, asked in enumerate(map(int, open_ends)):
        mine = best.filter(pc.equal(best["query"], place))["row"].to_numpy()
        above = np.count_nonzero(scores[asked] > last[asked])
        rows[asked, above:] = -1
        rows[asked, above:k] = mine[: k - above]
        scores[asked, k:] = -np.inf
    return Hits(scores, rows)


def _smallest(rows: pa.Table, k: int) -> pa.Table:
    """The k rows of each query with the smallest ids, in their order."""
    ordered = rows.sort_by([("query", "ascending"), ("id", "ascending")])
    query = ordered["query"].to_numpy()
    return ordered.filter(pa.array(np.arange(len(query)) - np.searchsorted(query, query) < k))
