"""Token states of a network in which the last token's state is put in front of the text."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from operators.encode.embedder import Backend


@dataclass(frozen=True)
class Prepending:
    """Before each of `layers` the state of a row's last token takes that of its token `place`."""

    layers: tuple[Any, ...]
    place: int
    """Counted among the row's own tokens."""

    def __call__(self, plain: Backend, ids: Tensor, mask: Tensor | None) -> Tensor:
        numbered = (torch.ones_like(ids) if mask is None else mask).cumsum(1)
        to = (numbered > self.place).int().argmax(1)
        last = numbered.argmax(1)
        with _before(self.layers, to, last):
            return plain.states(ids, mask)


@contextmanager
def _before(layers: tuple[Any, ...], to: Tensor, last: Tensor) -> Iterator[None]:
    rows = torch.arange(len(to), device=to.device)

    def prepend(layer: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        states = given[0] if given else named["hidden_states"]
        states = states.clone()  # it may be kept as the state of the layer before
        states[rows, to] = states[rows, last]
        if given:
            return (states, *given[1:]), named
        return given, {**named, "hidden_states": states}

    hooks = [layer.register_forward_pre_hook(prepend, with_kwargs=True) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
