"""What a student is trained towards: one number for the positive and for each negative."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from operators.distil.lists import Lists, Values


class Known(NamedTuple):
    """What a target is made of; all flat over the lists."""

    scores: Values
    """The teachers' fused score: raw, a logit or a cosine."""
    cosines: Values
    """What the search that mined the negatives said."""
    temperature: float
    weight: float


def softmax(lists: Lists, scores: Values, temperature: float) -> Values:
    """Each list's softmax of score / temperature: positive, sums to one."""
    scaled = scores / temperature
    powers = np.exp(scaled - lists.spread(lists.highest(scaled)))
    return powers / lists.spread(lists.total(powers))


def sigmoid(scores: Values) -> Values:
    """1 / (1 + exp(-score)), without overflow."""
    return np.exp(-np.logaddexp(0, -scores))


def margins(lists: Lists, known: Known) -> Values:
    """t(positive) - t(document), zero for the positive itself (arXiv 2010.02666)."""
    return lists.spread(known.scores[lists.firsts]) - known.scores


def listwise(lists: Lists, known: Known) -> Values:
    """softmax(t / T)."""
    return softmax(lists, known.scores, known.temperature)


def labels(lists: Lists, known: Known) -> Values:
    """sigmoid(t): the teacher's probability that the pair is relevant, pair by pair."""
    return sigmoid(known.scores)


def scores(lists: Lists, known: Known) -> Values:
    """The score itself, pair by pair."""
    return known.scores


def mixture(lists: Lists, known: Known) -> Values:
    """(1 - w) x onehot(positive) + w x softmax(t / T): soft labels of LG-ANNA."""
    soft = softmax(lists, known.scores, known.temperature)
    return (1 - known.weight) * lists.onehot() + known.weight * soft


def fused(lists: Lists, known: Known) -> Values:
    """softmax((cos + w x sigmoid(t)) / 2 / T), of the retriever and a yes/no teacher (U-MARVEL).

    Without weight it is the retriever's own softmax, at temperature 2 T.
    """
    both = (known.cosines + known.weight * sigmoid(known.scores)) / 2
    return softmax(lists, both, known.temperature)


def reciprocal_ranks(lists: Lists, known: Known) -> Values:
    """1, 1/2, … 1/n by the teacher's order alone; equal scores share the better rank (UDR)."""
    return 1 / lists.ranks(known.scores)


def judged(lists: Lists, known: Known) -> Values:
    """One for the positive, zero for the negatives: no teacher at all."""
    return lists.onehot()


class Target(NamedTuple):
    """A target and what `temperature` and `weight` are where the config does not say."""

    of: Callable[[Lists, Known], Values]
    temperature: float = 1.0
    weight: float = 1.0
    ordered: bool = False
    """The negatives come in descending order of their target."""


TARGETS: dict[str, Target] = {
    "judged": Target(judged),
    "margin-mse": Target(margins),
    "softmax": Target(listwise),
    "labels": Target(labels),
    "scores": Target(scores),
    "lg-anna": Target(mixture, weight=0.5),
    "u-marvel": Target(fused, temperature=0.05),
    "llm-embedder": Target(listwise, ordered=True),
    "udr": Target(reciprocal_ranks),
}
"""`llm-embedder`: weights of its stabilised loss, where each document competes with those below.

Its terms are w_i x cross-entropy of i over i and all that are ranked lower (arXiv 2310.07554).
`udr`: what its list-wise ranking loss is given (arXiv 2305.04320). `losses` has both losses.
"""

DISTRIBUTIONS = frozenset({"softmax", "lg-anna", "u-marvel", "llm-embedder"})
"""Targets that sum to one over a list."""

LOGITS = frozenset({"labels", "u-marvel"})
"""Targets that make probabilities of the scores, so these must be logits."""
