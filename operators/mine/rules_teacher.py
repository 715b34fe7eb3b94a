"""Rules by what a teacher said of (query, document) pairs in an earlier run."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from operators.base import STRICT
from operators.mine.case import Case, TeacherScores
from operators.mine.pool import Marks, Pairs, Scores
from operators.mine.rules_score import reference

Unscored = Literal["keep", "drop"]
Scale = Literal["sigmoid", "raw"]
_TEACHER = frozenset({"teacher"})


@dataclass(frozen=True, config=STRICT)
class LgMine:
    """Drop what the teacher scores at `share` of the positive's score or above (LG-ANNA).

    On the `sigmoid` of its logits, or on its `raw` scores less (1 - share) x their magnitude.
    """

    share: Annotated[float, Field(gt=0, le=1)] = 0.95
    scale: Scale = "sigmoid"
    unscored: Unscored = "keep"
    """What becomes of a candidate where it, or every positive of the query, has no score."""

    name: ClassVar[str] = "lg-mine"
    needs: ClassVar[frozenset[str]] = _TEACHER

    def drops(self, case: Case) -> Marks:
        teacher, judged = _teacher(case, self.name), case.positives
        known = Pairs(*judged[:2], _scaled(teacher(judged.query, judged.document), self.scale))
        positive = reference(known, len(case.asked))
        least = (positive - np.abs(positive) * (1 - self.share))[case.pool.query]
        scores = _scaled(teacher(case.pool.query, case.pool.document), self.scale)
        unscored = np.isnan(scores) | np.isnan(least)
        marks: Marks = np.where(unscored, self.unscored == "drop", scores >= least)
        return marks


@dataclass(frozen=True, config=STRICT)
class Teacher:
    """Drop what the teacher calls relevant: a raw score of `relevant` or above."""

    relevant: float
    unscored: Unscored = "keep"

    name: ClassVar[str] = "teacher"
    needs: ClassVar[frozenset[str]] = _TEACHER

    def drops(self, case: Case) -> Marks:
        scores = _teacher(case, self.name)(case.pool.query, case.pool.document)
        marks: Marks = np.where(np.isnan(scores), self.unscored == "drop", scores >= self.relevant)
        return marks


def _teacher(case: Case, rule: str) -> TeacherScores:
    if case.teacher is None:
        raise ValueError(f"rule {rule!r} needs a teacher's scores, and there are none")
    return case.teacher


def _scaled(scores: Scores, scale: Scale) -> Scores:
    if scale == "raw":
        return scores
    half: Scores = ((1 + np.tanh(scores.astype(np.float64) / 2)) / 2).astype(np.float32)
    return half
