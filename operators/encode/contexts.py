"""Token states beside what is left and right of them, and the largest values of all tokens."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from operators.encode.pooling import maximum


def in_context(states: Tensor, place: Tensor) -> Tensor:
    """(rows, tokens, 3 × width): the mean state before a token, its own, the mean of those after.

    `place` as `pooling.places` gives it; tokens it leaves out are no context, and none is zeros.
    """
    taken = place > 0
    own = states.float().masked_fill(~taken.unsqueeze(2), 0.0)
    parts = []
    for turned in (False, True):
        seen, counted = (each.flip(1) if turned else each for each in (own, taken))
        before = functional.pad(seen.cumsum(1)[:, :-1], (0, 0, 1, 0))
        number = functional.pad(counted.cumsum(1)[:, :-1], (1, 0)).clamp(min=1)
        mean = before / number.unsqueeze(2)
        parts.append(mean.flip(1) if turned else mean)
    return torch.cat([parts[0], own, parts[1]], dim=2)


@dataclass(frozen=True)
class LargestInContext:
    """A pooling: the largest of a token in its context, or of what `weight` and `bias` make of it.

    `trained` is nothing, or weight (n, 3 × width) and bias (n), behind which comes a tanh.
    """

    trained: tuple[Tensor, ...] = ()

    def __call__(self, states: Tensor, place: Tensor) -> Tensor:
        """(rows, 3 × width), or (rows, n)."""
        found = in_context(states, place)
        if self.trained:
            found = functional.linear(found, *self.trained).tanh()
        return maximum(found, place)
