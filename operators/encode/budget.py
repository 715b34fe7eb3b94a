"""Which rows share a forward pass: sorted by length, packed to a budget of padded tokens."""

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.intp]


def pack(lengths: npt.NDArray[np.int32], budget: int) -> list[Rows]:
    """Cut the rows into batches whose rows x longest stay within `budget`, longest batch first.

    A row that alone exceeds the budget is a batch of its own. The first batch needs the most
    memory a row, so what does not fit shows at once.
    """
    if budget < 1:
        raise ValueError(f"a token budget of {budget} holds no row")
    order = np.argsort(-lengths.astype(np.int64), kind="stable")
    batches: list[Rows] = []
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        stop = start + max(budget // longest, 1)
        batches.append(order[start:stop])
        start = stop
    return batches


def padded_tokens(lengths: npt.NDArray[np.int32], batches: list[Rows]) -> int:
    """Tokens the batches hold with their padding."""
    return sum(len(rows) * max(int(lengths[rows].max()), 1) for rows in batches)
