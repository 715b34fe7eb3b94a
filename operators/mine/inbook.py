"""Other passages of a positive's parent: candidates that no search has to find (RankGen)."""

import numpy as np
import pyarrow.compute as pc
from pydantic.dataclasses import dataclass

from operators.arrays import whole
from operators.base import STRICT
from operators.mine.case import place_of
from operators.mine.fuse import Ranked
from operators.mine.index import Index
from operators.mine.pool import Asked, Places
from operators.mine.ties import ranks
from operators.mine.unit import Judged


@dataclass(frozen=True, config=STRICT)
class Inbook:
    """Proposes the other passages of the parents of a query's positives (arXiv 2205.09726).

    They are ranked by the score of the first source, equal ones by id, and cut at the mining's
    depth. The index needs `parent_id`.
    """


def siblings(first: Index, asked: Asked, judged: Judged, depth: int) -> Ranked:
    """Rows of the first index, -1 where a query has fewer; no positive of the query is among them.

    Every sibling is scored: a parent should be no larger than what a search would propose.
    """
    query, row = judged.query[judged.positive], judged.row[judged.positive]
    positives, which = np.unique(row, return_inverse=True)
    parent = whole(first.documents(positives)["parent_id"])
    parents = parent.unique().drop_null()
    rows, owner = first.children(parents)
    number = pc.index_in(parent, parents).fill_null(-1).to_numpy(zero_copy_only=False)[which]
    pairs = np.unique(np.stack([query, number.astype(np.int64)], axis=1)[number >= 0], axis=0)
    order = np.argsort(owner, kind="stable")
    bounds = np.searchsorted(owner[order], np.arange(len(parents) + 1))
    counts = np.diff(bounds)[pairs[:, 1]]
    places = np.repeat(bounds[pairs[:, 1]] - np.cumsum(counts) + counts, counts)
    candidate = rows[order][places + np.arange(int(counts.sum()))]
    asking = np.repeat(pairs[:, 0], counts)
    width = len(first) + 1
    other = ~np.isin(asking * width + candidate, query * width + row)
    return _ranked(first, asked, asking[other], candidate[other], depth)


def _ranked(first: Index, asked: Asked, query: Places, row: Places, depth: int) -> Ranked:
    """The best of each query's candidates, ascending by query; each stands once."""
    score = first.score(asked, query, row)
    value = np.where(np.isfinite(score), score, -np.inf)
    order = np.lexsort((-value, query))
    query, row, value = query[order], row[order], value[order]
    place = place_of(query)
    last = np.full(len(asked), -np.inf, value.dtype)
    last[query[place == depth - 1]] = value[place == depth - 1]
    few = (place < depth) | (value == last[query])  # one large parent makes no wide matrix
    query, row, value = query[few], row[few], value[few]
    distinct, which = np.unique(row, return_inverse=True)
    by_id = ranks(first.documents(distinct)["id"])[which]
    order = np.lexsort((by_id, -value, query))
    place = place_of(query)  # the order leaves the queries where they are
    order, place = order[place < depth], place[place < depth]
    shape = (len(asked), int(place.max(initial=-1)) + 1)
    rows, scores = np.full(shape, -1, np.int64), np.full(shape, -np.inf, np.float32)
    rows[query[order], place], scores[query[order], place] = row[order], value[order]
    return Ranked(rows, scores)
