"""Several teachers' scores of the same pairs made one."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from operators.distil.lists import Lists, Values

RRF_CONSTANT = 60


class Fused(NamedTuple):
    """One score a pair, and what decides which negatives stay where not all do."""

    scores: Values
    order: Values | None = None
    """Higher stays; None keeps the order of the mining."""


def standardised(lists: Lists, scores: Values) -> Values:
    """Each list less its mean, over its standard deviation; zero where all are equal."""
    counts = np.diff(lists.offsets)
    centred = scores - lists.spread(lists.total(scores) / counts)
    deviation = np.sqrt(lists.total(centred**2) / counts)
    flat = deviation <= 1e-12 * np.maximum(1, lists.highest(np.abs(scores)))
    return centred / lists.spread(np.where(flat, np.inf, deviation))


def reciprocal_ranks(lists: Lists, teachers: Sequence[Values]) -> Values:
    """Sum over teachers of 1 / (60 + rank in the list), which no teacher's scale can change."""
    fused: Values = np.sum([1 / (RRF_CONSTANT + lists.ranks(each)) for each in teachers], axis=0)
    return fused


def _only(lists: Lists, teachers: Sequence[Values]) -> Fused:
    return Fused(teachers[0])


def _mean(lists: Lists, teachers: Sequence[Values]) -> Fused:
    return Fused(np.mean([standardised(lists, scores) for scores in teachers], axis=0))


def _rrf(lists: Lists, teachers: Sequence[Values]) -> Fused:
    fused = reciprocal_ranks(lists, teachers)
    return Fused(fused, fused)


def _rerank(lists: Lists, teachers: Sequence[Values]) -> Fused:
    return Fused(teachers[-1], reciprocal_ranks(lists, teachers[:-1]))


FUSIONS: dict[str, Callable[[Lists, Sequence[Values]], Fused]] = {
    "only": _only,
    "mean": _mean,
    "rrf": _rrf,
    "rerank": _rerank,
}
"""By name: the one teacher as it is; mean of z-scores; reciprocal ranks; LG-ANNA's chain.

`rerank`: the reciprocal ranks of all teachers but the last choose, the last one scores.
"""
