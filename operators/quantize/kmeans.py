"""Codewords by Lloyd's algorithm: the same for the same sample and seed."""

import numpy as np
import numpy.typing as npt

from operators.quantize.exact import nearest
from operators.quantize.kernels import Matrix, Rows

ROUNDS = 16
"""Rounds at most."""
WORDS = 256
"""Codewords of a byte."""


def kmeans(sample: Matrix, count: int, seed: int = 0, rounds: int = ROUNDS) -> Matrix:
    """(count, dim) means of an (n, dim) sample, fewer where it has fewer rows.

    Starts from rows drawn without replacement. A mean that no row is nearest to becomes the row
    that is farthest from its own.
    """
    drawn = np.random.default_rng(seed).permutation(len(sample))[:count]
    return improved(sample, sample[np.sort(drawn)], rounds)


def improved(sample: Matrix, words: Matrix, rounds: int) -> Matrix:
    """The words after so many rounds, or when no row changes its word."""
    before = np.empty(0, np.int64)
    for _ in range(rounds):
        chosen = nearest(sample, words)
        if np.array_equal(chosen, before):
            break
        words, before = _means(sample, chosen, words), chosen
    return words


def _means(sample: Matrix, chosen: Rows, words: Matrix) -> Matrix:
    """The mean of the rows of each word, summed in the order of the sample."""
    count = np.bincount(chosen, minlength=len(words))
    order = np.argsort(chosen, kind="stable")
    used = np.flatnonzero(count)
    starts = np.concatenate([[0], np.cumsum(count[used])[:-1]])
    sums = np.add.reduceat(sample[order].astype(np.float64), starts, axis=0)
    made: npt.NDArray[np.float64] = words.astype(np.float64)
    made[used] = sums / count[used, None]
    empty = np.flatnonzero(count == 0)
    if len(empty):
        apart = np.square(sample - words[chosen]).sum(axis=1, dtype=np.float64)
        made[empty] = sample[np.argsort(-apart, kind="stable")[: len(empty)]]
    return made.astype(np.float32)
