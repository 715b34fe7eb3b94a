"""The search inside sentence-transformers' `mine_hard_negatives`, timed where it happens."""

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks._cached import Cached

NEGATIVES, MARGIN = 5, 0.05
DEPTH = 10 * NEGATIVES + 2
"""Rows that the peer searches for with a margin and one positive a query."""


class _Watched(Cached):
    """Notes when the last vectors were handed over and when a positive is first scored."""

    marks: list[tuple[float, float]]

    def similarity_pairwise(self, one: Any, other: Any) -> Any:
        self.marks.append(_now())
        return super().similarity_pairwise(one, other)


class PeerSearch:
    """Whole calls of the miner over vectors that are there; `inside` times its search alone.

    That is all between the last vector and the first score of a positive: the search, and of
    5,000 queries some milliseconds in which positives are numbered.
    """

    def __init__(
        self, queries: npt.NDArray[np.float32], documents: npt.NDArray[np.float32], faiss: bool
    ) -> None:
        from datasets import Dataset  # type: ignore[import-untyped]

        self._corpus = [f"document {row}" for row in range(len(documents))]
        asked = [f"query {row}" for row in range(len(queries))]
        self._pairs = Dataset.from_dict({"query": asked, "answer": self._corpus[: len(asked)]})
        self._vectors = {"d": documents, "q": queries}
        self._faiss = faiss

    def __call__(self) -> None:
        self.inside()

    def inside(self) -> tuple[float, float]:
        """Seconds and CPU seconds of the search in one call of the miner."""
        from sentence_transformers.util import mine_hard_negatives

        marks: list[tuple[float, float]] = []

        def handed(kind: str) -> npt.NDArray[np.float32]:
            marks.append(_now())
            return self._vectors[kind]

        model: Any = _Watched(
            lambda texts: handed("d"), lambda texts: handed("q"), self._vectors["q"].shape[1]
        )
        object.__setattr__(model, "marks", marks)
        mine_hard_negatives(
            self._pairs,
            model,
            corpus=self._corpus,
            num_negatives=NEGATIVES,
            relative_margin=MARGIN,
            use_faiss=self._faiss,
            verbose=False,
        )
        (began, used), (ended, spent) = marks[1], marks[2]
        return ended - began, spent - used


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()
