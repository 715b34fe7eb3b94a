"""A network whose tokens see what a rule says, not what its architecture would let them see."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from operators.encode import masks
from operators.encode.embedder import Backend


@dataclass(frozen=True)
class Masked:
    """Token states under `allowed`, which makes of a (rows, tokens) mask who sees whom."""

    allowed: Callable[[Tensor], Tensor]

    def __call__(self, plain: Backend, ids: Tensor, mask: Tensor | None) -> Tensor:
        own = torch.ones_like(ids) if mask is None else mask
        seen = masks.for_layers(self.allowed(own), plain.network.config, plain.network.dtype)
        extra = {}
        if plain.numbers_positions:
            extra["position_ids"] = (own.long().cumsum(1) - 1).clamp(min=0)
        states: Tensor = plain.network(input_ids=ids, attention_mask=seen, **extra)[0]
        return states
