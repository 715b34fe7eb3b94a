"""Token states to one vector a row; each pooling is one function and one line of `POOLINGS`.

`states` is (rows, tokens, width); `place` is (rows, tokens): the 1-based place of a token among the
row's own tokens, 0 where it is padding or left out. So padding may stand on either side. Sums are
float32; a row without a place gives a vector that is not finite.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Pool = Callable[[Tensor, Tensor], Tensor]


def places(mask: Tensor, prompt_tokens: Tensor | None = None) -> Tensor:
    """Number each row's tokens in a (rows, tokens) mask; leading prompt tokens become 0."""
    place = mask.long().cumsum(1) * mask.long()
    if prompt_tokens is None:
        return place
    return place * (place > prompt_tokens.unsqueeze(1))


def cls(states: Tensor, place: Tensor) -> Tensor:
    """The state of the first token."""
    first = place.masked_fill(place == 0, place.shape[1] + 1).argmin(1)
    return _at(states, first, place)


def last(states: Tensor, place: Tensor) -> Tensor:
    """The state of the last token."""
    return _at(states, place.argmax(1), place)


def mean(states: Tensor, place: Tensor) -> Tensor:
    """The mean of the states."""
    weights = (place > 0).float()
    return _weighted(states, weights) / weights.sum(1, keepdim=True)


def mean_sqrt(states: Tensor, place: Tensor) -> Tensor:
    """The sum of the states over the square root of their number."""
    weights = (place > 0).float()
    return _weighted(states, weights) / weights.sum(1, keepdim=True).sqrt()


def wmean(states: Tensor, place: Tensor) -> Tensor:
    """The mean of the states, each weighted by its place: later tokens of a decoder know more."""
    weights = place.float()
    return _weighted(states, weights) / weights.sum(1, keepdim=True)


def maximum(states: Tensor, place: Tensor) -> Tensor:
    """The largest value of each dimension."""
    return states.float().masked_fill((place == 0).unsqueeze(2), -torch.inf).amax(1)


POOLINGS: dict[str, Pool] = {
    "cls": cls,
    "last": last,
    "max": maximum,
    "mean": mean,
    "mean_sqrt": mean_sqrt,
    "wmean": wmean,
}


def _weighted(states: Tensor, weights: Tensor) -> Tensor:
    # States of padding may be anything, even NaN, which a weight of zero would not silence.
    kept = states.float().masked_fill((weights == 0).unsqueeze(2), 0.0)
    return torch.bmm(weights.unsqueeze(1), kept).squeeze(1)


def _at(states: Tensor, token: Tensor, place: Tensor) -> Tensor:
    picked = states[torch.arange(len(states), device=states.device), token].float()
    return picked.masked_fill((place == 0).all(1, keepdim=True), torch.nan)
