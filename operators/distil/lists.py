"""Scores of ragged lists: each list is one query's positive, then its negatives."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Lists:
    """How flat values are cut in n lists, none of them empty: n + 1 offsets from zero."""

    offsets: Places

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def firsts(self) -> Places:
        """Place of each list's first value."""
        return self.offsets[:-1]

    @property
    def owner(self) -> Places:
        """Which list each value is in."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def total(self, values: Values) -> Values:
        """The sum of each list."""
        return np.add.reduceat(values, self.firsts) if len(self) else np.zeros(0)

    def highest(self, values: Values) -> Values:
        """The largest value of each list."""
        return np.maximum.reduceat(values, self.firsts) if len(self) else np.zeros(0)

    def spread(self, of_lists: Values) -> Values:
        """A value of each list, repeated for each of its members."""
        return of_lists[self.owner]

    def descending(self, values: Values) -> Places:
        """The order that sorts each list by value, the highest first, behind its first member."""
        return np.lexsort((-values, self.positions() > 0, self.owner))

    def onehot(self) -> Values:
        """One for the first of each list, zero for the others."""
        values = np.zeros(int(self.offsets[-1]))
        values[self.firsts] = 1
        return values

    def positions(self) -> Places:
        """Place of each value in its list, from 0."""
        return np.arange(int(self.offsets[-1])) - self.firsts[self.owner]

    def only(self, kept: Marks) -> "Lists":
        """The cuts of what is marked; a list that loses its first is not allowed."""
        counts = np.bincount(self.owner[kept], minlength=len(self))
        return Lists(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))

    def ranks(self, values: Values) -> Places:
        """Rank of each value in its list, 1 for the highest; equal values share the better rank."""
        order = np.lexsort((-values, self.owner))
        ordered, owner = values[order], self.owner[order]
        place = np.arange(len(values)) - self.firsts[owner] + 1
        same = np.zeros(len(values), np.bool_)
        same[1:] = (owner[1:] == owner[:-1]) & (ordered[1:] == ordered[:-1])
        starts = np.maximum.accumulate(np.where(same, 0, np.arange(len(values))))
        ranks = np.empty(len(values), np.int64)
        ranks[order] = place[starts]
        return ranks


def ranges(starts: Places, counts: Places) -> Places:
    """The numbers start, start + 1, … of each range, end to end."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(int(counts.sum()))
