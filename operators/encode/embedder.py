"""One forward pass of a model folder: states, pooling and what follows it."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from operators.encode.head import Layer, layers
from operators.encode.pooling import POOLINGS, Pool, places
from operators.encode.shape import Shape
from operators.encode.strategy import Engine, Opening, Precision
from operators.encode.torch_backend import load
from operators.model import Folder


class Backend(Protocol):
    """What gives token states."""

    @property
    def network(self) -> Any: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def pad(self) -> int: ...
    @property
    def numbers_positions(self) -> bool:
        """Whether positions are passed, because padding on the left would move them."""
        ...

    def states(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """(rows, tokens, width) states; a mask of None means that no token is padding."""
        ...


@dataclass(frozen=True)
class Embedder:
    """Maps ids and mask (rows, tokens) to float32 vectors (rows, dim) on the model's device."""

    model: str
    dim: int
    backend: Backend
    pools: tuple[Pool, ...]
    layers: tuple[Layer, ...]

    @property
    def device(self) -> torch.device:
        return self.backend.device

    @property
    def pad(self) -> int:
        return self.backend.pad

    def __call__(self, ids: Tensor, mask: Tensor | None, prompts: Tensor | None) -> Tensor:
        place = places(torch.ones_like(ids) if mask is None else mask, prompts)
        return self.pooled(self.backend.states(ids, mask), place)

    def pooled(self, states: Tensor, place: Tensor) -> Tensor:
        """Vectors of (rows, tokens, width) states; `place` as `pooling.places` gives it."""
        vectors = torch.cat([pool(states, place) for pool in self.pools], dim=1)
        for layer in self.layers:
            vectors = layer(vectors)
        return vectors


def build(
    folder: Folder,
    model: str,
    shape: Shape,
    precision: Precision,
    device: torch.device,
    engine: Engine = "torch",
) -> Embedder:
    """Load the folder's weights on `device`; ModelError when they cannot be used."""
    return of_backend(load(folder, model, precision, device, engine), model, shape)


def of_backend(backend: Backend, model: str, shape: Shape) -> Embedder:
    """The pooling and the layers of a shape behind what gives token states."""
    return Embedder(
        model,
        shape.dim,
        backend,
        tuple(POOLINGS[mode] for mode in shape.pooling),
        tuple(layers(shape.head, backend.device, model)),
    )


def opened(opening: Opening) -> Embedder:
    """`build` of what a strategy is given."""
    return build(
        opening.folder,
        opening.model,
        opening.shape,
        opening.precision,
        opening.device,
        opening.engine,
    )
