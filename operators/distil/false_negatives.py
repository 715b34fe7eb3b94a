"""Negatives that the teachers call about as relevant as the positive."""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from operators.base import STRICT
from operators.distil.lists import Lists, Marks, Values
from operators.distil.targets import sigmoid


@dataclass(frozen=True, config=STRICT)
class DropFalse:
    """Drop the negatives that the teachers score nearly as high as the positive, or higher."""

    share: Annotated[float | None, Field(gt=0, le=1)] = None
    """Drop from that share of the positive's score on: its score - (1 - share) x its magnitude."""
    margin: Annotated[float | None, Field(ge=0)] = None
    """Drop what is not at least that far below the positive's score."""
    scale: Literal["sigmoid", "raw"] = "sigmoid"
    """Compare probabilities, or the fused scores themselves."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.share is None and self.margin is None:
            raise ValueError("drop_false needs share or margin, or it drops nothing")
        return self

    def marks(self, lists: Lists, scores: Values) -> Marks:
        """The false negatives."""
        scaled = sigmoid(scores) if self.scale == "sigmoid" else scores
        positive = lists.spread(scaled[lists.firsts])
        false = np.zeros(len(scores), np.bool_)
        if self.share is not None:
            false |= scaled >= positive - np.abs(positive) * (1 - self.share)
        if self.margin is not None:
            false |= scaled > positive - self.margin
        false[lists.firsts] = False
        return false
