"""Rules by the words of a document."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from operators.base import STRICT
from operators.mine.case import Case
from operators.mine.pool import Marks, Places
from operators.mine.shingles import Shingles, shingles


@dataclass(frozen=True, config=STRICT)
class NearDuplicate:
    """Drop what shares at least `threshold` of its runs of words with a positive of the query.

    Case, spacing and punctuation do not count. `jaccard` is shared runs over all runs of both,
    `containment` over those of the shorter: it also finds a text that holds the other.
    """

    threshold: Annotated[float, Field(gt=0, le=1)] = 0.8
    measure: Literal["jaccard", "containment"] = "jaccard"
    words: Annotated[int, Field(ge=1, le=16)] = 3
    """Words a run; a shorter text is one run."""

    name: ClassVar[str] = "near-duplicate"
    needs: ClassVar[frozenset[str]] = frozenset({"texts"})

    def drops(self, case: Case) -> Marks:
        if case.texts is None:
            raise ValueError(f"rule {self.name!r} needs the texts of documents")
        pool, positives = case.pool, case.positives
        used = np.unique(np.concatenate([pool.document, positives.document]))
        runs = shingles(case.texts(used), self.words)
        candidates = np.searchsorted(used, pool.document)
        start = np.searchsorted(pool.query, np.arange(pool.queries + 1))
        marks = np.zeros(len(pool), np.bool_)
        for query, document in zip(positives.query, positives.document, strict=True):
            own = slice(start[query], start[query + 1])
            positive = int(np.searchsorted(used, document))
            marks[own] |= self._near(runs, positive, candidates[own])
        return marks

    def _near(self, runs: Shingles, positive: int, candidates: Places) -> Marks:
        shared = runs.shared(positive, candidates)
        own, other = runs.sizes(np.array([positive])), runs.sizes(candidates)
        both = np.minimum(own, other) if self.measure == "containment" else own + other - shared
        near: Marks = (shared > 0) & (shared >= self.threshold * both)
        return near
