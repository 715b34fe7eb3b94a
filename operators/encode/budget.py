"""Which rows share a forward pass: sorted by length, packed to a budget of padded tokens."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.intp]


class Shapes(NamedTuple):
    """Lengths rounded up to multiples, so that a corpus makes few shapes of batches."""

    step: int
    most: int
    """No length is rounded up to more."""

    def longest(self, length: int) -> int:
        return max(length, min(-(-length // self.step) * self.step, self.most))


def pack(lengths: npt.NDArray[np.int32], budget: int, shapes: Shapes | None = None) -> list[Rows]:
    """Cut the rows into batches whose rows x longest stay within `budget`, longest batch first.

    A row that alone exceeds the budget is a batch of its own. The first batch needs the most
    memory a row, so what does not fit shows at once. With `shapes` the longest is rounded up.
    """
    if budget < 1:
        raise ValueError(f"a token budget of {budget} holds no row")
    order = np.argsort(-lengths.astype(np.int64), kind="stable")
    batches: list[Rows] = []
    start = 0
    while start < len(order):
        stop = start + rows_a_batch(int(lengths[order[start]]), budget, shapes)
        batches.append(order[start:stop])
        start = stop
    return batches


def rows_a_batch(longest: int, budget: int, shapes: Shapes | None) -> int:
    """Rows that share a pass with a longest one."""
    longest = max(longest, 1)
    return max(budget // (shapes.longest(longest) if shapes else longest), 1)


def padded_tokens(lengths: npt.NDArray[np.int32], batches: list[Rows]) -> int:
    """Tokens the batches hold with their padding."""
    return sum(len(rows) * max(int(lengths[rows].max()), 1) for rows in batches)
