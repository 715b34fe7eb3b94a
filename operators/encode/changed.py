"""A backend whose token states a strategy makes in a way of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from operators.encode.embedder import Backend

How = Callable[[Backend, Tensor, Tensor | None], Tensor]
"""Makes (rows, tokens, width) states of ids and mask, with the help of the plain backend."""


@dataclass(frozen=True)
class Changed:
    """In all but the states as the backend that is plain."""

    plain: Backend
    how: How

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
        return self.how(self.plain, ids, mask)
