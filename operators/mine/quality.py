"""How good a ranking is against graded judgments, and how near it is to another ranking.

Rankings are (q, k) row numbers, nearest first, with -1 where there are fewer.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from operators.arrays import Column

Ranking = npt.NDArray[np.int64]
PerQuery = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Judgments:
    """Grades of (query, row) pairs, each pair once; what is not judged has grade 0."""

    queries: npt.NDArray[np.int64]
    """Position of the query in the ranking."""
    rows: npt.NDArray[np.int64]
    """Row of the document; below -1 where it is not in the corpus."""
    grades: npt.NDArray[np.float64]


def judgments(qrels: pa.Table, query_ids: Column, document_ids: Column) -> Judgments:
    """Place `query_id, doc_id, relevance` rows by position; of other queries they are left out.

    A judged document that is not in the corpus stays, so that missing it counts.
    """
    asked = pc.index_in(qrels["query_id"], query_ids)
    kept = qrels.filter(asked.is_valid())
    rows = pc.index_in(kept["doc_id"], document_ids).to_numpy().astype(np.float64)
    absent = np.isnan(rows)
    rows[absent] = -2 - np.arange(np.count_nonzero(absent))
    return Judgments(
        asked.drop_null().to_numpy().astype(np.int64),
        rows.astype(np.int64),
        kept["relevance"].to_numpy().astype(np.float64),
    )


def ndcg(ranking: Ranking, judged: Judgments, k: int) -> PerQuery:
    """Normalised discounted gain of the first k, gain = grade, discount log2(place + 1).

    NaN for a query without a relevant document.
    """
    ideal = np.zeros((len(ranking), k))
    order = np.lexsort((-judged.grades, judged.queries))
    query, grade = judged.queries[order], np.maximum(judged.grades[order], 0)
    place = np.arange(len(query)) - np.searchsorted(query, query)
    within = place < k
    ideal[query[within], place[within]] = grade[within]
    return _share(_discounted(_grades(ranking[:, :k], judged)), _discounted(ideal))


def recall(ranking: Ranking, judged: Judgments, k: int) -> PerQuery:
    """Share of a query's relevant documents among the first k; NaN where it has none."""
    relevant = judged.queries[judged.grades > 0]
    total = np.bincount(relevant, minlength=len(ranking)).astype(np.float64)
    found = np.count_nonzero(_grades(ranking[:, :k], judged) > 0, axis=1).astype(np.float64)
    return _share(found, total)


def overlap(ranking: Ranking, reference: Ranking, k: int) -> PerQuery:
    """Share of the reference's first k that the ranking has among its first k, in any order."""
    a, b = np.sort(ranking[:, :k], axis=1), np.sort(reference[:, :k], axis=1)
    pairs = np.sort(np.concatenate([a, b], axis=1), axis=1)
    both = np.count_nonzero((pairs[:, 1:] == pairs[:, :-1]) & (pairs[:, 1:] >= 0), axis=1)
    return _share(both.astype(np.float64), np.count_nonzero(b >= 0, axis=1).astype(np.float64))


def _grades(ranking: Ranking, judged: Judgments) -> npt.NDArray[np.float64]:
    """The (q, k) grades of ranked rows; negative grades count as 0."""
    if not len(judged.rows):
        return np.zeros(ranking.shape)
    least = int(min(judged.rows.min(), -1))
    width = int(max(judged.rows.max(), ranking.max(initial=-1))) - least + 1
    keys = judged.queries * width + judged.rows - least
    order = np.argsort(keys)
    asked = np.arange(len(ranking))[:, None] * width + ranking - least
    place = np.minimum(np.searchsorted(keys[order], asked), len(keys) - 1)
    found = keys[order][place] == asked
    return np.where(found, np.maximum(judged.grades[order][place], 0), 0)


def _discounted(gains: npt.NDArray[np.float64]) -> PerQuery:
    total: PerQuery = gains @ (1 / np.log2(np.arange(gains.shape[1]) + 2))
    return total


def _share(part: PerQuery, whole: PerQuery) -> PerQuery:
    share: PerQuery = np.full(len(part), np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share
