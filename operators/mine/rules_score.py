"""Rules by the score that the search gave: how near to the positive, how near at all.

A rule that compares with the positive takes the lowest of a query's positives, so that a kept
candidate is far enough from all of them: in training it stands beside each.
"""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from operators.base import STRICT
from operators.mine.case import Case
from operators.mine.pool import Marks, Pairs, Scores

_SCORES = frozenset({"scores"})


@dataclass(frozen=True, config=STRICT)
class AbsoluteMargin:
    """Drop what scores above the positive less `margin`, as `mine_hard_negatives` does.

    Where a query has no scored positive, all its candidates go.
    """

    margin: Annotated[float, Field(ge=0)] = 0.05

    name: ClassVar[str] = "absolute-margin"
    needs: ClassVar[frozenset[str]] = _SCORES

    def drops(self, case: Case) -> Marks:
        positive = reference(case.positives, len(case.asked))[case.pool.query]
        kept: Marks = case.pool.score + self.margin <= positive
        return ~kept


@dataclass(frozen=True, config=STRICT)
class RelativeMargin:
    """Drop what scores above positive - margin x |positive|, as `mine_hard_negatives` does.

    Where a query has no scored positive, all its candidates go.
    """

    margin: Annotated[float, Field(ge=0, le=1)] = 0.05

    name: ClassVar[str] = "relative-margin"
    needs: ClassVar[frozenset[str]] = _SCORES

    def drops(self, case: Case) -> Marks:
        positive = reference(case.positives, len(case.asked))
        most = (positive - np.abs(positive) * self.margin)[case.pool.query]
        kept: Marks = case.pool.score <= most
        return ~kept


@dataclass(frozen=True, config=STRICT)
class NvMine:
    """Keep what scores below `share` of the positive's score: TopK-PercPos of arXiv 2407.15831.

    A share of a score that is not positive is no bound: where the positive scores 0 or less, or
    not at all, every candidate of the query goes.
    """

    share: Annotated[float, Field(gt=0, le=1)] = 0.95

    name: ClassVar[str] = "nv-mine"
    needs: ClassVar[frozenset[str]] = _SCORES

    def drops(self, case: Case) -> Marks:
        positive = reference(case.positives, len(case.asked))
        most = np.where(positive > 0, positive * self.share, -np.inf)[case.pool.query]
        kept: Marks = case.pool.score < most
        return ~kept


@dataclass(frozen=True, config=STRICT)
class MaxScore:
    """Drop what scores above `limit`."""

    limit: float

    name: ClassVar[str] = "max-score"
    needs: ClassVar[frozenset[str]] = _SCORES

    def drops(self, case: Case) -> Marks:
        marks: Marks = case.pool.score > self.limit
        return marks


@dataclass(frozen=True, config=STRICT)
class MinScore:
    """Drop what scores below `limit`."""

    limit: float

    name: ClassVar[str] = "min-score"
    needs: ClassVar[frozenset[str]] = _SCORES

    def drops(self, case: Case) -> Marks:
        marks: Marks = case.pool.score < self.limit
        return marks


def reference(positives: Pairs, queries: int) -> Scores:
    """One score a query: of its lowest positive; NaN where none has a score."""
    found = np.full(queries, np.nan, np.float32)
    np.fmin.at(found, positives.query, positives.score.astype(np.float32, copy=False))
    return found
