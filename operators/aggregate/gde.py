"""A document as a distribution: mean and diagonal covariance of its passages, and how far two are.

Generative Distribution Embeddings (paper 80 of docs/techniques.md) ask of an encoder of sets that
neither the order of the set nor a repetition of all of it changes anything. Mean and covariance
over all passages (not the sample's, which divides by one less) are such an encoder; that the
covariance is diagonal is ours, since a whole one takes d x d numbers a document.
"""

import numpy as np

from operators.aggregate.states import Groups, Numbers, States


def joined(states: States, groups: Groups) -> States:
    """Mean and standard deviation over all passages, from those of the parts."""
    counts = groups.total(states.counts)
    weights = states.counts[:, None]
    vectors = groups.total(states.vectors * weights) / counts[:, None]
    apart = states.vectors - groups.spread(vectors)
    variances = groups.total((states.deviations**2 + apart**2) * weights) / counts[:, None]
    return States(counts, vectors, np.sqrt(variances))


def wasserstein(one: States, other: States) -> Numbers:
    """The squared Bures (W2) distance of each of n documents to each of m, an (n, m) matrix.

    ||m1 - m2||^2 + tr(S1 + S2 - 2 (S1^1/2 S2 S1^1/2)^1/2), which for diagonals is the squared
    Euclidean distance of mean and deviation side by side: any index that knows that distance can
    search documents by it.
    """
    left, right = _beside(one), _beside(other)
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1)[None, :]
    found: Numbers = np.maximum(squares - 2 * left @ right.T, 0.0)
    return found


def _beside(states: States) -> Numbers:
    return np.concatenate([states.vectors, states.deviations], axis=1)
