"""A vector for every token of a row, from an encoder and a linear layer, with its adapters."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModel

from operators import columns
from operators.arrays import ragged_column
from operators.encode.clusters import clustered
from operators.encode.loop import Loop, Ragged, room
from operators.encode.rows import joined
from operators.encode.strategy import Encoded, Opening
from operators.encode.torch_backend import TorchBackend, backend, read

_UNUSED = ("pooler.", "position_ids", "rotary_emb.")
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TokenVectors:
    """Maps ids, whose first one says by number which adapters, to (rows, tokens, dim) float32."""

    model: str
    dim: int
    backend: TorchBackend
    weight: Tensor
    """(dim, width)."""
    adapters: bool

    @property
    def device(self) -> torch.device:
        return self.backend.device

    @property
    def pad(self) -> int:
        return self.backend.pad

    def __call__(self, ids: Tensor, mask: Tensor | None, prompts: Tensor | None) -> Tensor:
        return self.vectors(ids[:, 1:], None if mask is None else mask[:, 1:], ids[:, 0])

    def vectors(self, ids: Tensor, mask: Tensor | None, language: Tensor) -> Tensor:
        """(rows, tokens, dim) vectors of length one."""
        if self.adapters:
            states: Tensor = self.backend.network(
                input_ids=ids.contiguous(), attention_mask=mask, lang_ids=language
            )[0]
        else:
            states = self.backend.states(ids, mask)
        return nn.functional.normalize(nn.functional.linear(states.float(), self.weight), dim=2)


@dataclass(frozen=True)
class Mean:
    """One vector a row, the mean of its tokens', by the first adapters: what a probe looks at."""

    tokens: TokenVectors

    @property
    def model(self) -> str:
        return self.tokens.model

    @property
    def device(self) -> torch.device:
        return self.tokens.device

    @property
    def dim(self) -> int:
        return self.tokens.dim

    @property
    def pad(self) -> int:
        return self.tokens.pad

    @property
    def backend(self) -> TorchBackend:
        return self.tokens.backend

    def __call__(self, ids: Tensor, mask: Tensor | None, prompts: Tensor | None) -> Tensor:
        own = torch.ones_like(ids) if mask is None else mask
        vectors = self.tokens.vectors(ids, mask, torch.zeros_like(ids[:, 0]))
        kept = vectors.masked_fill((own == 0).unsqueeze(2), 0.0)
        return kept.sum(1) / own.sum(1, keepdim=True)


@dataclass(frozen=True, eq=False)
class Collected:
    """Row i has vectors [bounds[i], bounds[i + 1])."""

    vectors: Matrix
    bounds: npt.NDArray[np.int64]

    def of(self, row: int) -> Matrix:
        """(n, dim), the vectors of one row."""
        return self.vectors[self.bounds[row] : self.bounds[row + 1]]

    def pooled(self, share: float) -> "Collected":
        """A share of each row's vectors: means of clusters of those that are alike.

        A row that is not finite stays as it is, and is told from the others where it is stored.
        """
        parts = [
            clustered(part, share) if np.isfinite(part).all() else part
            for part in map(self.of, range(len(self.bounds) - 1))
        ]
        lengths = [len(part) for part in parts]
        none = np.zeros((0, self.vectors.shape[1]), np.float32)
        return Collected(np.concatenate([none, *parts]), _bounds(np.array(lengths, np.int64)))

    def encoded(self, unknown: pa.Array) -> Encoded:
        """As the column `token_vectors`; rows with a reason of their own get it as `error`."""
        lengths = np.diff(self.bounds)
        row = np.repeat(np.arange(len(lengths)), lengths)
        broken = row[~np.isfinite(self.vectors).all(axis=1)]
        bad = np.bincount(broken, minlength=len(lengths)) > 0
        values = np.where(bad[row][:, None], np.float32(0), self.vectors)
        dim = self.vectors.shape[1]
        lists = ragged_column(values.reshape(-1), (self.bounds * dim).astype(np.int32))
        found: list[tuple[pa.Field, pa.Array]] = [(columns.token_vectors(dim), lists)]
        if unknown.null_count < len(unknown):
            found.append((columns.ERROR, unknown))
        return Encoded(found, bad)


def collected(
    loop: Loop, rows: Ragged, language: npt.NDArray[np.int32], kept: npt.NDArray[np.bool_]
) -> Collected:
    """The vectors of the kept tokens of every row, in their order.

    ModelError where a unit has more values than a list column holds.
    """
    starts = rows.offsets.astype(np.int64)
    counts = np.concatenate([[0], np.cumsum(kept)])
    bounds = counts[starts]
    dim = loop.forward.dim
    vectors = room(int(bounds[-1]), dim, loop.forward.model)
    count = len(rows.lengths)
    numbers = Ragged(language, np.arange(count + 1, dtype=np.int32))
    for chosen, found in loop.each(joined(numbers, rows)):
        place = np.arange(found.shape[1])
        inside = place < rows.lengths[chosen][:, None]
        marks = np.zeros(inside.shape, np.bool_)
        marks[inside] = kept[(starts[chosen][:, None] + place)[inside]]
        lengths = marks.sum(axis=1)
        first = bounds[chosen] - np.concatenate([[0], np.cumsum(lengths)[:-1]])
        vectors[np.repeat(first, lengths) + np.arange(int(lengths.sum()))] = found[marks]
    return Collected(vectors, bounds)


def opened(opening: Opening, *, adapters: bool) -> TokenVectors:
    """The folder's encoder and its linear layer; ModelError when they cannot be loaded."""
    folder, model = opening.folder, opening.model
    network: Any = read(AutoModel, folder, model, opening.precision, _UNUSED)
    half = backend(network, folder, opening.device)
    found = [load_file(file).get("linear.weight") for file in folder.weights]
    weight = next(each for each in found if each is not None).float().to(opening.device)
    return TokenVectors(model, len(weight), half, weight, adapters)


def _bounds(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
