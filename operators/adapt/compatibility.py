"""How well the queries of one model find what another model embedded.

Galleries are (n, dim) vectors of the same n documents, queries (q, dim) vectors of the same texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from operators.adapt.lengths import unit_length
from operators.mine.quality import Judgments, PerQuery, ndcg, recall
from operators.mine.topk import Hits, merge, topk
from operators.quantize.kernels import FloatVectors, Matrix, Rows

DEPTH = 100
SHARES = tuple(tenth / 10 for tenth in range(11))
"""Of a gallery that is embedded again, from none to all."""
_EQUAL = 1e-6
"""Cosines nearer than that are the same."""
_BLOCK = 4096

Grid = Sequence[Sequence[float]]
"""C[i][j]: a metric of queries by version i in the gallery by version j; NaN: no common space."""


@dataclass(frozen=True, eq=False)
class Quality:
    """Metrics of each query; NaN for one without a relevant document."""

    ndcg_10: PerQuery
    recall_10: PerQuery
    recall_100: PerQuery

    @property
    def mean(self) -> float:
        """Mean nDCG@10."""
        return _mean(self.ndcg_10)

    def to_json(self) -> dict[str, float]:
        """The means by the metrics' usual names."""
        return {
            "ndcg@10": self.mean,
            "recall@10": _mean(self.recall_10),
            "recall@100": _mean(self.recall_100),
        }


@dataclass(frozen=True)
class Violated:
    """Shares of (query, document) pairs that break the two inequalities of compatibility."""

    same: float
    """Of relevant pairs: the query lies further from the document than the old query did."""
    different: float
    """Of all other pairs: it lies nearer."""


def quality(queries: Matrix, gallery: Matrix, judged: Judgments) -> Quality:
    """What exact search finds."""
    return _judged(topk(queries, [FloatVectors(gallery)], DEPTH), judged)


def compatibility(grid: Grid) -> float:
    """AC: the share of (newer queries i, older gallery j) with C[i][j] > C[j][j], strictly.

    Equal models give 0. ValueError for fewer than two versions.
    """
    versions = len(grid)
    if versions < 2:
        raise ValueError("compatibility is of two versions or more")
    better = sum(grid[i][j] > grid[j][j] for i in range(versions) for j in range(i))
    return 2 * better / (versions * (versions - 1))


def accuracy(grid: Grid) -> float:
    """AM: the mean of the lower triangle with its diagonal; NaN where a cell of it is."""
    return float(np.mean([grid[i][j] for i in range(len(grid)) for j in range(i + 1)]))


def violated(new: tuple[Matrix, Matrix], old: tuple[Matrix, Matrix], judged: Judgments) -> Violated:
    """Compare the cosines of all pairs of (queries, gallery) `new` with those of `old`.

    Cosines that differ by no more than rounding break nothing.
    """
    asked, before = unit_length(new[0]), unit_length(old[0])
    relevant = _relevant(judged)
    broken = np.zeros(2, np.int64)
    total = np.zeros(2, np.int64)
    for start in range(0, len(new[1]), _BLOCK):
        rows = slice(start, start + _BLOCK)
        nearer = asked @ unit_length(new[1][rows]).T - before @ unit_length(old[1][rows]).T
        same = np.zeros(nearer.shape, np.bool_)
        here = (relevant[1] >= start) & (relevant[1] < start + nearer.shape[1])
        same[relevant[0][here], relevant[1][here] - start] = True
        breaks = np.where(same, nearer < -_EQUAL, nearer > _EQUAL)
        broken += np.count_nonzero(breaks & same), np.count_nonzero(breaks & ~same)
        total += np.count_nonzero(same), np.count_nonzero(~same)
    share = np.divide(broken, total, out=np.full(2, np.nan), where=total > 0)
    return Violated(float(share[0]), float(share[1]))


def backfill(
    queries: Matrix, old: Matrix, new: Matrix, order: Rows, judged: Judgments
) -> list[Quality]:
    """Quality in a gallery of which the first rows of `order` are new, for each of SHARES.

    `old` lies in the space of `new` and of the queries.
    """
    curve = []
    for share in SHARES:
        mixed = old.copy()
        again = order[: round(share * len(order))]
        mixed[again] = new[again]
        curve.append(quality(queries, mixed, judged))
    return curve


def backfill_by_both(
    queries: tuple[Matrix, Matrix],
    galleries: tuple[Matrix, Matrix],
    order: Rows,
    judged: Judgments,
) -> list[Quality]:
    """The same with (old, new) queries, each in its own part of the gallery, scores as they are."""
    curve = []
    for share in SHARES:
        cut = round(share * len(order))
        parts = np.sort(order[cut:]), np.sort(order[:cut])
        found = [
            _hits(asked, gallery[rows], rows)
            for asked, gallery, rows in zip(queries, galleries, parts, strict=True)
        ]
        curve.append(_judged(merge(found[0], found[1], DEPTH), judged))
    return curve


def _hits(queries: Matrix, gallery: Matrix, rows: Rows) -> Hits:
    """Hits in a part of the gallery, by their rows in the whole."""
    if not len(rows):
        none = np.full((len(queries), DEPTH), -1, np.int64)
        return Hits(np.full(none.shape, -np.inf, np.float32), none)
    found = topk(queries, [FloatVectors(gallery)], DEPTH)
    return Hits(found.scores, np.where(found.rows >= 0, rows[found.rows], -1))


def _judged(found: Hits, judged: Judgments) -> Quality:
    return Quality(
        ndcg(found.rows, judged, 10),
        recall(found.rows, judged, 10),
        recall(found.rows, judged, DEPTH),
    )


def _relevant(judged: Judgments) -> tuple[Rows, Rows]:
    """Query and row of the relevant pairs whose document is in the gallery."""
    there = (judged.grades > 0) & (judged.rows >= 0)
    return judged.queries[there], judged.rows[there]


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
