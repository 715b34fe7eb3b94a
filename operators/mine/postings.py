"""Inverted lists: of each word the documents that have it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from operators.mine.pool import Places, Scores
from operators.mine.runs import Array, bounds_of


@dataclass(frozen=True, eq=False)
class Postings:
    """Which documents have each word, and with what weight."""

    bounds: Places
    """Word w is in [bounds[w], bounds[w + 1])."""
    document: npt.NDArray[np.int32]
    weight: Scores
    documents: int

    @classmethod
    def of(cls, some: Sequence[tuple[Array, Array, Array]], vocabulary: int) -> "Postings":
        """Documents one after the other: ids, weights and lengths of each run of them."""
        counts = np.zeros(vocabulary, np.int64)
        for ids, _, _ in some:
            words, own = _counts(ids, vocabulary)
            counts[words] += own
        bounds = bounds_of(counts)
        document, weight = np.empty(bounds[-1], np.int32), np.empty(bounds[-1], np.float32)
        free, first = bounds[:-1].copy(), 0
        for ids, weights, lengths in some:
            words, own = _counts(ids, vocabulary)
            order = np.argsort(ids, kind="stable")[: own.sum()]
            places = np.arange(len(order)) + np.repeat(free[words] - bounds_of(own)[:-1], own)
            rows = np.arange(first, first + len(lengths), dtype=np.int32)
            document[places] = np.repeat(rows, lengths)[order]
            weight[places] = weights[order]
            free[words] += own
            first += len(lengths)
        return cls(bounds, document, weight, first)

    def scores(self, ids: Array, weights: Array) -> Scores:
        """(documents,) products with a query's ascending ids and their weights.

        Each is summed by ascending id, so it depends on its two vectors alone.
        """
        found = np.zeros(self.documents, np.float32)
        known = ids < len(self.bounds) - 1
        for word, weight in zip(ids[known], weights[known], strict=True):
            part = slice(self.bounds[word], self.bounds[word + 1])
            found[self.document[part]] += weight * self.weight[part]
        return found


def _counts(ids: Array, vocabulary: int) -> tuple[Places, Places]:
    """The words of the vocabulary that come, ascending, and how often each does."""
    words, counts = np.unique(ids, return_counts=True)
    known = words < vocabulary
    return words[known], counts[known]
