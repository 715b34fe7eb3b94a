"""Keep, map or re-embed: one recommendation, and the differences that it rests on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from operators.adapt.compatibility import Quality
from pipelines.compat.candidates import Candidate

Verdict = Literal["keep", "map", "re-embed"]
_ERRORS = 2.0
"""Standard errors that a clear difference has at least."""


@dataclass(frozen=True)
class Difference:
    """Mean nDCG@10 of one way less another's, over the same queries."""

    mean: float
    error: float
    """Standard error of the mean of the queries' differences."""
    clear: bool
    """Larger than the tolerance and than two standard errors."""

    def __str__(self) -> str:
        return f"{self.mean:+.4f} ± {self.error:.4f}"


@dataclass(frozen=True)
class Advice:
    """The verdict and its reasons."""

    verdict: Verdict
    best: str
    """The best way without embedding again."""
    new_over_old: Difference
    best_over_old: Difference
    new_over_best: Difference
    tolerance: float

    @property
    def sentence(self) -> str:
        """The recommendation in words, with its numbers."""
        rule = f"beyond the tolerance of {self.tolerance} and two standard errors"
        gain = f"NEW gains {self.new_over_old} nDCG@10 over OLD"
        best = f"{self.best} {self.best_over_old}"
        if self.verdict == "keep":
            return f"keep: neither NEW nor a map gains {rule}: {gain}, the best map, {best}."
        if self.verdict == "map":
            rest = f"and NEW is not clearly better than that ({self.new_over_best})"
            return f"map: {best} over OLD, {rule}, {rest}."
        lack = f"the best map, {best}, is {self.new_over_best} short of NEW"
        return f"re-embed: {gain}, {rule}; {lack}."


def advise(old: Quality, new: Quality, candidates: Sequence[Candidate], tolerance: float) -> Advice:
    """NEW clearly over OLD and not matched by a map: re-embed; a map clearly over OLD: map."""
    best = max(candidates, key=lambda one: one.quality.mean)
    new_over_old = difference(new, old, tolerance)
    best_over_old = difference(best.quality, old, tolerance)
    new_over_best = difference(new, best.quality, tolerance)
    verdict: Verdict = "keep"
    if best_over_old.clear and not new_over_best.clear:
        verdict = "map"
    elif new_over_old.clear:
        verdict = "re-embed"
    return Advice(verdict, best.name, new_over_old, best_over_old, new_over_best, tolerance)


def difference(one: Quality, other: Quality, tolerance: float) -> Difference:
    """Paired, over the queries that have a relevant document."""
    apart = one.ndcg_10 - other.ndcg_10
    apart = apart[np.isfinite(apart)]
    mean = float(apart.mean()) if len(apart) else 0.0
    error = float(apart.std(ddof=1) / np.sqrt(len(apart))) if len(apart) > 1 else float("inf")
    return Difference(mean, error, mean > tolerance and mean > _ERRORS * error)
