"""Fewer token vectors of a text: those that are alike become their mean (token pooling)."""

import math

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]


def clustered(vectors: Matrix, share: float) -> Matrix:
    """ceil(share x n) vectors of length one from (n, dim) of length one, in order of first tokens.

    Ward's hierarchical clustering by squared distance, of equal distances the first pair; each
    cluster becomes the mean of its vectors, scaled to length one. Work grows with n². Source:
    Clavié et al., token pooling (arXiv 2409.14683); the scaling is ours.
    """
    wanted = math.ceil(share * len(vectors) - 1e-9)
    if wanted >= len(vectors):
        return vectors
    owner = np.arange(len(vectors))
    for kept, gone in _merges(vectors.astype(np.float64), len(vectors) - wanted):
        owner[owner == gone] = kept
    first, place = np.unique(owner, return_inverse=True)
    sums = np.zeros((len(first), vectors.shape[1]))
    np.add.at(sums, place, vectors)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    found: Matrix = (sums / np.maximum(lengths, 1e-12)).astype(np.float32)
    return found


def _merges(vectors: npt.NDArray[np.float64], count: int) -> list[tuple[int, int]]:
    """The first `count` merges, each of a cluster into one whose first vector comes before."""
    distance = np.maximum(2 - 2 * vectors @ vectors.T, 0)
    np.fill_diagonal(distance, np.inf)
    size = np.ones(len(vectors))
    found = []
    for _ in range(count):
        one, other = sorted(divmod(int(distance.argmin()), len(vectors)))
        total = size + size[one] + size[other]
        grown = (size + size[one]) * distance[one] + (size + size[other]) * distance[other]
        merged = (grown - size * distance[one, other]) / total  # Lance and Williams, for Ward
        merged[[one, other]] = np.inf
        merged[~np.isfinite(distance[one]) & ~np.isfinite(distance[other])] = np.inf
        distance[one], distance[:, one] = merged, merged
        distance[other], distance[:, other] = np.inf, np.inf
        size[one] += size[other]
        found.append((one, other))
    return found
