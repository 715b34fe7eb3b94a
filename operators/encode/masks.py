"""Which tokens see which, as the one kind of mask that every architecture obeys (TECHNIQUES §1).

`allowed` is (rows, tokens, tokens) bool: whether the token of the second axis sees that of the
third. A network is given `additive(allowed, dtype)`: a boolean or three-dimensional mask is taken
for something else by some of them, without a word.
"""

import torch
from torch import Tensor


def additive(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """(rows, 1, tokens, tokens): 0 where it may see, the dtype's smallest number where not."""
    mask = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min).unsqueeze(1)


def both_ways(own: Tensor) -> Tensor:
    """Every token sees all of its row; `own` is the (rows, tokens) mask of what is no padding."""
    return (own > 0).unsqueeze(1).expand(-1, own.shape[1], -1)


def only_back(own: Tensor) -> Tensor:
    """Every token sees itself and what stands before it."""
    tokens = own.shape[1]
    back = torch.ones(tokens, tokens, dtype=torch.bool, device=own.device).tril()
    return both_ways(own) & back
