"""What a row says of every word of a vocabulary: its tokens' masked-language-model logits, maxed.

A matrix of rows × tokens × vocabulary is never whole in memory: the largest logits so far run
through blocks of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import AutoModelForMaskedLM
from transformers.modeling_outputs import BaseModelOutput

from operators.encode.embedder import Embedder
from operators.encode.loop import Loop, Ragged, room
from operators.encode.pooling import places
from operators.encode.strategy import Opening
from operators.encode.torch_backend import TorchBackend, backend, read

_LOGITS = 1 << 24
"""Logits that are held at once: 64 MiB of float32."""
_ROWS = 32
"""Rows whose vocabularies are held at once, at most."""
_UNUSED = ("pooler.", "position_ids", "rotary_emb.", "seq_relationship.")


class Given(torch.nn.Module):
    """Stands in for a network's body, so that its head can be asked about states that are there."""

    def forward(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> BaseModelOutput:
        return BaseModelOutput(last_hidden_state=inputs_embeds)


@dataclass(frozen=True)
class Lexicon:
    """Maps ids and mask (rows, tokens) to one weight a row and word of the vocabulary, float32."""

    model: str
    dim: int
    """Words of the vocabulary."""
    backend: TorchBackend
    head: Any
    """The network's head behind `Given`."""
    weigh: Callable[[Tensor], Tensor]
    """Largest logits to weights."""
    skipped: int = 0
    """Leading tokens that say nothing."""

    @property
    def device(self) -> torch.device:
        return self.backend.device

    @property
    def pad(self) -> int:
        return self.backend.pad

    def __call__(self, ids: Tensor, mask: Tensor | None, prompts: Tensor | None) -> Tensor:
        place = places(torch.ones_like(ids) if mask is None else mask, prompts)
        return self.weights(self.backend.states(ids, mask), place * (place > self.skipped))

    def weights(self, states: Tensor, place: Tensor) -> Tensor:
        """(rows, vocabulary) of (rows, tokens, width) states: blocks of tokens, a running max.

        A token of place 0 says nothing.
        """
        step = max(1, _LOGITS // (self.dim * len(states)))
        most = torch.full((len(states), self.dim), -torch.inf, device=self.device)
        for start in range(0, states.shape[1], step):
            part = slice(start, start + step)
            logits = self.head(inputs_embeds=states[:, part]).logits.float()
            hidden = (place[:, part] == 0).unsqueeze(2)
            most = torch.maximum(most, logits.masked_fill_(hidden, -torch.inf).amax(1))
        return self.weigh(most)

    def some(self, states: Tensor, place: Tensor, k: int) -> Tensor:
        """(rows, 2k): ascending ids of the k heaviest words, then their weights.

        Of equal weights the smaller ids; the weights of a row that is not finite are NaN.
        """
        rows = max(1, min(_ROWS, _LOGITS // self.dim))
        parts = [slice(start, start + rows) for start in range(0, len(states), rows)]
        return torch.cat([heaviest(self.weights(states[part], place[part]), k) for part in parts])


@dataclass(frozen=True)
class Heaviest:
    """A forward pass to (rows, vector + 2k): a pooled vector where asked, ids, weights."""

    lexicon: Lexicon
    k: int
    pooled: Embedder | None = None

    @property
    def model(self) -> str:
        return self.lexicon.model

    @property
    def device(self) -> torch.device:
        return self.lexicon.device

    @property
    def dim(self) -> int:
        return 2 * self.k + (self.pooled.dim if self.pooled else 0)

    @property
    def pad(self) -> int:
        return self.lexicon.pad

    @property
    def backend(self) -> TorchBackend:
        return self.lexicon.backend

    def __call__(self, ids: Tensor, mask: Tensor | None, prompts: Tensor | None) -> Tensor:
        states = self.lexicon.backend.states(ids, mask)
        place = places(torch.ones_like(ids) if mask is None else mask, prompts)
        vectors = [self.pooled.pooled(states, place)] if self.pooled else []
        heard = place * (place > self.lexicon.skipped)
        return torch.cat([*vectors, self.lexicon.some(states, heard, self.k)], dim=1)


def heaviest(weights: Tensor, k: int) -> Tensor:
    """As `Lexicon.some`, of (rows, words) weights."""
    finite = torch.isfinite(weights).all(1, keepdim=True)
    weights = torch.where(finite, weights, 0.0)
    floor = weights.topk(k, dim=1).values[:, -1:]
    above, level = weights > floor, weights == floor
    wanted = k - above.sum(1, keepdim=True)
    chosen = above | (level & (level.cumsum(1) <= wanted))
    ids = chosen.nonzero()[:, 1].reshape(len(weights), k)
    told = torch.where(finite, weights.gather(1, ids), torch.nan)
    return torch.cat([ids.float(), told], dim=1)  # ids below 2^24 are exact in float32


class Collected(NamedTuple):
    """What `Heaviest` gives of n rows."""

    vectors: npt.NDArray[np.float32]
    """(n, dim), of dim 0 where none are pooled."""
    ids: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]
    """(n, k), as the ids."""


def collected(loop: Loop, rows: Ragged, k: int) -> Collected:
    """The vectors and words of n rows, batch by batch: eight bytes a word, each held once."""
    count, dim, model = len(rows.lengths), loop.forward.dim - 2 * k, loop.forward.model
    vectors, weights = room(count, dim, model), room(count, k, model)
    ids = np.zeros((count, k), np.int32)
    for chosen, found in loop.each(rows):
        vectors[chosen] = found[:, :dim]
        ids[chosen] = found[:, dim : dim + k]
        weights[chosen] = found[:, dim + k :]
    return Collected(vectors, ids, weights)


def opened(opening: Opening, weigh: Callable[[Tensor], Tensor], skipped: int = 0) -> Lexicon:
    """The folder's masked language model in two halves; ModelError when it cannot be loaded."""
    folder, model = opening.folder, opening.model
    network = read(AutoModelForMaskedLM, folder, model, opening.precision, _UNUSED)
    network = network.to(opening.device).eval()
    body = network.base_model
    setattr(network, network.base_model_prefix, Given())
    vocabulary = int(folder.config["vocab_size"])
    half = backend(body, folder, opening.device)
    return Lexicon(model, vocabulary, half, network, weigh, skipped)
