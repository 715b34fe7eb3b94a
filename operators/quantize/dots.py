"""Dot products of chosen pairs of rows, the same bits for the same two vectors."""

import warnings
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

_AT_ONCE = 1 << 20
"""Pairs in one call: what it takes beside its answer is 20 bytes a pair."""


def dots(a: Matrix, b: Matrix, first: Rows, second: Rows) -> Matrix:
    """The dot product of each pair of rows a[first] and b[second], `first` ascending.

    A product depends on its two rows alone: not on the other pairs, nor on where the rows lie.
    """
    found = np.empty(len(first), np.float32)
    for start in range(0, len(first), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        found[part] = _sampled(a, b, first[part], second[part])
    return found


def dots_of_any(a: Matrix, b: Matrix, first: Rows, second: Rows) -> Matrix:
    """As `dots`, of pairs in any order."""
    order = np.argsort(first, kind="stable")
    found = np.empty(len(first), np.float32)
    found[order] = dots(a, b, first[order], second[order])
    return found


def _sampled(a: Matrix, b: Matrix, first: Rows, second: Rows) -> Matrix:
    """One sampled product: torch reads the rows where they are, in a fixed order of summation."""
    import torch

    _know_sparse()
    bounds = np.searchsorted(first, np.arange(len(a) + 1))
    wanted = torch.sparse_csr_tensor(
        torch.from_numpy(bounds),
        torch.from_numpy(second),
        torch.zeros(len(second)),
        size=(len(a), len(b)),
        check_invariants=False,
    )
    made: Any = torch.sparse.sampled_addmm(wanted, tensor(a), tensor(b).T, beta=0.0)
    found: Matrix = made.values().numpy()
    return found


def tensor(matrix: Matrix) -> Any:
    """A matrix as a torch tensor on the same memory, also where it may only be read."""
    import torch

    return torch.from_numpy(np.asarray(_Unmarked(np.ascontiguousarray(matrix))))


class _Unmarked:
    """An array that does not say that it is read-only, which torch warns of: nothing writes."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        place = array.__array_interface__
        self.__array_interface__ = {**place, "data": (place["data"][0], False)}
        self.array = array


@cache
def _know_sparse() -> None:
    """Make the first sparse tensor of the process, of which torch says that it is beta."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor([0, 0], [], [], size=(1, 1))
