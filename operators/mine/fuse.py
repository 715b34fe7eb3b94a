"""Rankings of several sources made one, with who proposed what."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass as checked

from operators.base import STRICT
from operators.mine.pool import Places, Pool, Scores

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranked:
    """What one source found: (q, k) rows of the documents table, nearest first, -1 for none."""

    documents: Places
    scores: Scores
    """(q, k)."""


@checked(frozen=True, config=STRICT)
class Fusion:
    """How the rankings of several sources become one; a single source keeps its order."""

    method: Literal["rrf", "minmax", "zscore"] = "rrf"
    """Weighted sum of 1 / (k + rank) with ranks from 1, or of scores scaled for each query."""
    weights: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """One a source, all 1 by default."""
    k: Annotated[float, Field(gt=0)] = 60
    depth: Annotated[int, Field(ge=0)] = 0
    """Candidates kept for each query after fusion; 0 keeps all."""


def fuse(ranked: Sequence[Ranked], documents: pa.Table, fusion: Fusion) -> Pool:
    """One pool of all sources' candidates, ties by id; the score is the first source's, or NaN."""
    raise NotImplementedError


def filled(pool: Pool, drawn: Places) -> Pool:
    """Add (q, m) documents drawn at random after a query's own, but those proposed; -1 is none."""
    raise NotImplementedError
