"""What a teacher is: a model that makes one number of a query and a document."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Scores = npt.NDArray[np.float32]
Marks = npt.NDArray[np.bool_]


class Scored(NamedTuple):
    """The logits of n pairs, and which pairs the teacher could not read, and why not."""

    logits: Scores
    unfit: Marks
    reason: str = ""


Scorer = Callable[..., Scored]
"""Scores n queries against n texts, row by row: two arrays, and a third where it is asked for.

That is of answers, or of what tells which rows are one list.
"""


class Teacher(Protocol):
    """A frozen dataclass of `model`, `precision` and `options`, which `Teach` has too."""

    options: ClassVar[frozenset[str]]
    roles: ClassVar[frozenset[str]]
    """Whose prompts of the model it puts before a text."""

    def check(self) -> None:
        """Refuse a model that cannot teach, by its JSON files alone: ModelError."""
        ...

    def scorer(self, device: "torch.device", budget: int) -> Scorer:
        """Load and probe the model; `budget` is its padded tokens a pass, 0 fits the device."""
        ...


@runtime_checkable
class Scoring(Protocol):
    """An operator that scores the pairs which `pairs` makes for it."""

    reads_texts: ClassVar[bool]
    """It needs the texts of the pairs, not their hashes alone."""

    @property
    def fingerprint(self) -> str:
        """What the column `teacher` holds for its rows."""
        ...

    @property
    def whole(self) -> bool:
        """Whether a logit depends on the other candidates of its query."""
        ...
