"""Equal scores ordered by id, so that no answer depends on how a table was cut into files."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from operators.mine.topk import Hits
from operators.quantize.kernels import Rows


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
