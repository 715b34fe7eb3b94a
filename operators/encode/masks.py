"""Which tokens see which, as the one kind of mask that every architecture obeys (TECHNIQUES §1).

`allowed` is (rows, tokens, tokens) bool: whether the token of the second axis sees that of the
third. A network is given `additive(allowed, dtype)`: a boolean or three-dimensional mask is taken
for something else by some of them, without a word. `own` is the (rows, tokens) mask of what is no
padding.
"""

from typing import Any

import torch
from torch import Tensor

_ALL_LAYERS_LOCAL = frozenset({"mistral", "mixtral", "phi3", "starcoder2"})
"""With a `sliding_window` each of their layers has it; others list theirs in `layer_types`."""
_BOTH_SIDES = frozenset({"modernbert"})
"""Their window counts the tokens on each side of a token; that of a decoder the token as well."""


def for_layers(allowed: Tensor, config: Any, dtype: torch.dtype) -> Tensor | dict[str, Tensor]:
    """What a network takes: one mask, or one for each kind of layer where some are local.

    A single mask would take the place of the local layers' own.
    """
    everywhere = additive(allowed, dtype)
    window = _window(config)
    if window == 0:
        return everywhere
    nearby = additive(local(allowed, window), dtype)
    if config.model_type in _ALL_LAYERS_LOCAL:
        return nearby
    return {"full_attention": everywhere, "sliding_attention": nearby}


def additive(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """(rows, 1, tokens, tokens): 0 where it may see, the dtype's smallest number where not."""
    mask = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min).unsqueeze(1)


def local(allowed: Tensor, window: int) -> Tensor:
    """Of what is allowed only what lies less than `window` tokens away, before or behind."""
    place = torch.arange(allowed.shape[1], device=allowed.device)
    return allowed & ((place.unsqueeze(1) - place).abs() < window)


def both_ways(own: Tensor) -> Tensor:
    """Every token sees all of its row."""
    return (own > 0).unsqueeze(1).expand(-1, own.shape[1], -1)


def only_back(own: Tensor) -> Tensor:
    """Every token sees itself and what stands before it."""
    tokens = own.shape[1]
    back = torch.ones(tokens, tokens, dtype=torch.bool, device=own.device).tril()
    return both_ways(own) & back


def prefix(own: Tensor, lengths: Tensor) -> Tensor:
    """The first `lengths` (rows) tokens of a row see each other both ways, the rest only back.

    A negative length counts from the end of the row.
    """
    place = own.long().cumsum(1)
    ends = torch.where(lengths < 0, own.long().sum(1) + lengths, lengths)
    inside = (own > 0) & (place <= ends.unsqueeze(1))
    return only_back(own) | (inside.unsqueeze(2) & inside.unsqueeze(1))


def blind_ends(own: Tensor, count: int) -> Tensor:
    """Every token sees only back, and none of a row's last `count` sees another of them."""
    own = own.long()
    after = own.sum(1, keepdim=True) - own.cumsum(1)
    ends = (own > 0) & (after < count)
    itself = torch.eye(own.shape[1], dtype=torch.bool, device=own.device)
    return only_back(own) & ~(ends.unsqueeze(2) & ends.unsqueeze(1) & ~itself)


def _window(config: Any) -> int:
    """Tokens that a local layer looks back, itself included; 0 where no layer is local."""
    kinds = getattr(config, "layer_types", None) or ()
    if "sliding_attention" not in kinds and config.model_type not in _ALL_LAYERS_LOCAL:
        return 0
    window = int(getattr(config, "sliding_window", None) or 0)
    return window + (config.model_type in _BOTH_SIDES) if window > 0 else 0
