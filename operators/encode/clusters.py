"""Fewer token vectors of a text: those that are alike become their mean (token pooling)."""

import math

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]


def clustered(vectors: Matrix, share: float) -> Matrix:
    """ceil(share x n) vectors of length one from (n, dim) of length one, in order of first tokens.

    Ward's hierarchical clustering; each cluster becomes the mean of its vectors, scaled to length
    one. Work grows with n². Source: Clavié et al., token pooling (arXiv 2409.14683); the scaling
    is ours.
    """
    wanted = math.ceil(share * len(vectors) - 1e-9)
    if wanted >= len(vectors):
        return vectors
    owner = _owners(vectors, len(vectors) - wanted)
    order = np.argsort(owner, kind="stable")
    starts = np.flatnonzero(np.diff(owner[order], prepend=-1))
    sums = np.add.reduceat(vectors[order].astype(np.float64), starts, axis=0)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    found: Matrix = (sums / np.maximum(lengths, 1e-12)).astype(np.float32)
    return found


def _owners(vectors: Matrix, merges: int) -> npt.NDArray[np.int64]:
    """Of each vector the first one of its cluster, after so many merges."""
    from scipy.cluster.hierarchy import linkage

    count = len(vectors)
    squared = 2 - 2 * (vectors @ vectors.T).astype(np.float64)
    apart = np.sqrt(np.maximum(squared[~np.tri(count, dtype=np.bool_)], 0))
    joined = linkage(apart, "ward")[:merges, :2].astype(np.int64)
    within = np.arange(count + merges)
    within[joined.ravel()] = np.repeat(np.arange(merges) + count, 2)
    for cluster in range(count + merges - 1, -1, -1):  # a cluster lies in one with a later number
        within[cluster] = within[within[cluster]]
    _, first, which = np.unique(within[:count], return_index=True, return_inverse=True)
    return first[which]
