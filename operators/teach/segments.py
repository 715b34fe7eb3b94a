"""One pass over packs of a query and its candidates, under the mask of a layout."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from operators.encode.masks import additive
from operators.teach.layouts import Layout


class Head(NamedTuple):
    """The linear map of a candidate's mean state to its logit: (width,) and ()."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Segments:
    """Maps packs of ids, `segment x words + token`, to (packs, dim) logits of their candidates.

    A candidate's places begin where the query ends, whichever it is, and its token type is 1. Of a
    pack with fewer than `dim` candidates the last columns mean nothing.
    """

    model: str
    network: Any
    device: torch.device
    pad: int
    words: int
    layout: Layout
    head: Head | None
    """None: the logit is the dot product of the mean states of query and candidate."""
    dim: int = 1

    def __call__(self, ids: Tensor, mask: Tensor | None, prompts: Tensor | None) -> Tensor:
        real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()
        segment = torch.where(real, ids // self.words, -1)
        allowed = _ALLOWED[self.layout](segment) & real.unsqueeze(1)
        states = self.network(
            input_ids=ids % self.words,
            attention_mask=additive(allowed, self.network.dtype),
            token_type_ids=(segment > 0).long(),
            position_ids=positions(segment),
        )[0]
        query, candidates = _means(states, segment, self.dim)
        if self.head is None:
            return (candidates @ query.unsqueeze(2)).squeeze(2)
        return candidates @ self.head.weight + self.head.bias


def positions(segment: Tensor) -> Tensor:
    """Places from 0; every candidate begins at the query's length. Padding (-1) stands at 0."""
    place = torch.arange(segment.shape[1], device=segment.device).expand_as(segment)
    begins = torch.ones_like(segment, dtype=torch.bool)
    begins[:, 1:] = segment[:, 1:] != segment[:, :-1]
    start = torch.where(begins, place, 0).cummax(1).values
    shift = (segment == 0).sum(1, keepdim=True) * (segment > 0)
    return torch.where(segment < 0, 0, place - start + shift)


def _means(states: Tensor, segment: Tensor, candidates: int) -> tuple[Tensor, Tensor]:
    """float32 mean states of the query (packs, width) and of each candidate."""
    numbers = torch.arange(candidates + 1, device=segment.device)
    own = (segment.unsqueeze(1) == numbers[:, None]).float()
    means = own @ states.float() / own.sum(2, keepdim=True).clamp(min=1)
    return means[:, 0], means[:, 1:]


def _diag(segment: Tensor) -> Tensor:
    return segment.unsqueeze(2) == segment.unsqueeze(1)


def _isolated(segment: Tensor) -> Tensor:
    return _diag(segment) | (segment == 0).unsqueeze(1)


def _arrow(segment: Tensor) -> Tensor:
    return _isolated(segment) | (segment == 0).unsqueeze(2)


def _square(segment: Tensor) -> Tensor:
    return torch.ones_like(_diag(segment))


_ALLOWED: dict[Layout, Callable[[Tensor], Tensor]] = {
    "isolated": _isolated,
    "diag": _diag,
    "arrow": _arrow,
    "square": _square,
}
"""(packs, tokens, tokens): whether a row's token may attend to a column's; padding aside."""
