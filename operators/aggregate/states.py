"""What is known of a document so far: a sufficient statistic that joins with others of it."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class States:
    """n states over d dimensions, each of one document or of a part of it."""

    counts: Numbers
    """(n) passages behind each."""
    vectors: Numbers
    """(n, d), as they are before they get length one."""
    deviations: Numbers
    """(n, d) standard deviations of the passages, over all of them; zero where nobody asks."""

    @classmethod
    def of_passages(cls, vectors: npt.NDArray[np.float32]) -> Self:
        """Each row of an (n, d) matrix as a document of one passage."""
        found = vectors.astype(np.float64)
        return cls(np.ones(len(found)), found, np.zeros_like(found))

    def take(self, rows: npt.NDArray[np.int64]) -> "States":
        """The states of these rows, in their order."""
        return States(self.counts[rows], self.vectors[rows], self.deviations[rows])


@dataclass(frozen=True)
class Groups:
    """Runs of rows end to end, one a document; no run is empty."""

    starts: npt.NDArray[np.int64]
    """(m) first row of each run."""
    rows: int
    """Rows of all runs."""

    def total(self, values: Numbers) -> Numbers:
        """The sum of each run's rows, of (n) or (n, d) values."""
        found: Numbers = np.add.reduceat(values, self.starts, axis=0)
        return found

    def greatest(self, values: Numbers) -> Numbers:
        """The greatest of each run's rows, dimension by dimension."""
        found: Numbers = np.maximum.reduceat(values, self.starts, axis=0)
        return found

    def spread(self, values: Numbers) -> Numbers:
        """One value or vector a run, repeated for each of the run's rows."""
        return values.repeat(np.diff(self.starts, append=self.rows), axis=0)
