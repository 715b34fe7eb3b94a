"""A network whose tokens see what a rule says, not what its architecture would let them see."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from operators.encode import masks
from operators.encode.embedder import Backend


@dataclass(frozen=True)
class Masked:
    """Token states under `allowed`, which makes of a (rows, tokens) mask who sees whom."""

    plain: Backend
    allowed: Callable[[Tensor], Tensor]

    @property
    def network(self) -> Any:
        return self.plain.network

    @property
    def device(self) -> torch.device:
        return self.plain.device

    @property
    def pad(self) -> int:
        return self.plain.pad

    @property
    def numbers_positions(self) -> bool:
        return self.plain.numbers_positions

    def states(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """(rows, tokens, width) states; a mask of None means that no token is padding."""
        own = torch.ones_like(ids) if mask is None else mask
        seen = masks.for_layers(self.allowed(own), self.network.config, self.network.dtype)
        extra = {}
        if self.numbers_positions:
            extra["position_ids"] = (own.long().cumsum(1) - 1).clamp(min=0)
        states: Tensor = self.network(input_ids=ids, attention_mask=seen, **extra)[0]
        return states
