"""Late interaction: the sum over a query's token vectors of the nearest of a document's."""

import numpy as np
import numpy.typing as npt

from operators.quantize.kernels import Matrix

_AT_ONCE = 1 << 22
"""Products held at once: 16 MiB."""


def maxsim(query: Matrix, document: Matrix) -> float:
    """The score of (q, dim) and (n, dim) token vectors, the same bits for the same two.

    -inf for a document without a vector, 0 for a query without one.
    """
    if not len(document):
        return -np.inf
    products = np.einsum("qd,nd->qn", query, document, optimize=False)
    return float(products.max(axis=1).sum(dtype=np.float64)) if len(query) else 0.0


def maxsim_of_all(query: Matrix, tokens: Matrix, bounds: npt.NDArray[np.int64]) -> Matrix:
    """(documents,) scores up to the last bits; document i has tokens [bounds[i], bounds[i + 1])."""
    found = np.full(len(bounds) - 1, -np.inf, np.float32)
    step = max(1, _AT_ONCE // max(1, len(query)))
    start = 0
    while start < len(found):
        last = int(np.searchsorted(bounds, bounds[start] + step, side="right")) - 1
        stop = min(max(last, start + 1), len(found))
        some = np.flatnonzero(np.diff(bounds[start : stop + 1])) + start
        if len(some):
            part = tokens[bounds[start] : bounds[stop]] @ query.T
            most = np.maximum.reduceat(part, bounds[some] - bounds[start], axis=0)
            found[some] = most.sum(axis=1)
        start = stop
    return found
