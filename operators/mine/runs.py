"""Rows of uneven length over flat arrays: the sparse and the token vectors of queries."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Runs:
    """Row i is [bounds[i], bounds[i + 1]) of every array."""

    arrays: tuple[Array, ...]
    bounds: Places

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, row: int) -> tuple[Array, ...]:
        part = slice(self.bounds[row], self.bounds[row + 1])
        return tuple(each[part] for each in self.arrays)

    def taken(self, rows: Places) -> "Runs":
        """The given rows, in their order."""
        ends = zip(self.bounds[rows], self.bounds[rows + 1], strict=True)
        runs = [slice(*run) for run in ends]
        arrays = [np.concatenate([each[:0], *(each[run] for run in runs)]) for each in self.arrays]
        return Runs(tuple(arrays), bounds_of(np.diff(self.bounds)[rows]))


def bounds_of(lengths: npt.NDArray[np.integer]) -> Places:
    """N + 1 bounds of n runs of these lengths."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
