"""Prompts to one number, by a causal language model: only the states that count reach its head."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from operators.encode.pooling import places
from operators.encode.strategy import Precision
from operators.encode.torch_backend import TorchBackend, backend, read
from operators.errors import ModelError
from operators.model import Folder

_COMPUTED = ("position_ids", "rotary_emb.", ".attn.bias", ".attn.masked_bias")
_LOGITS = 1 << 24
"""Logits at once: 64 MiB in float32. Vocabularies have up to 262,144 entries."""
_TOLERANCE = {"fp32": 1e-3, "bf16": 0.1, "fp16": 0.1}


Head = Callable[[Tensor], Iterator[Tensor]]
"""float32 logits (some, vocabulary) of (n, width) states, in their order."""
Answers = tuple[tuple[int, ...], tuple[int, ...]]
"""Token ids of yes, then of no."""
Measure = Callable[[Head, Tensor, Tensor, Tensor], Tensor]
"""Head, states (rows, tokens, width), ids and places (both (rows, tokens)) to (rows, 1)."""


@dataclass(frozen=True)
class Decoder:
    """Maps ids and mask (rows, tokens) and leading tokens (rows) to (rows, 1) by its measure."""

    model: str
    backend: TorchBackend
    network: Any
    measure: Measure
    dim: int = 1

    @property
    def device(self) -> torch.device:
        return self.backend.device

    @property
    def pad(self) -> int:
        return self.backend.pad

    def __call__(self, ids: Tensor, mask: Tensor | None, prompts: Tensor | None) -> Tensor:
        states = self.backend.states(ids, mask)
        place = places(torch.ones_like(ids) if mask is None else mask, prompts)
        return self.measure(self.head, states, ids, place)

    def head(self, states: Tensor) -> Iterator[Tensor]:
        """Logits of the token after each state, a bounded number at once."""
        output, config = self.network.get_output_embeddings(), self.network.config
        cap = getattr(config, "final_logit_softcapping", None)
        scale = getattr(config, "logits_scaling", None) or 1.0
        step = max(1, _LOGITS // output.weight.shape[0])
        for start in range(0, len(states), step):
            logits = output(states[start : start + step]) / scale
            yield (torch.tanh(logits / cap) * cap if cap else logits).float()


def likelihood(
    head: Head, states: Tensor, ids: Tensor, place: Tensor, *, mean: bool = True
) -> Tensor:
    """The mean or sum of the log-likelihoods of each row's tokens that have a place.

    The first token, which nothing precedes, is left aside.
    """
    counted = place[:, 1:] > 0
    wanted = ids[:, 1:][counted]
    found, start = [wanted.new_zeros(0, dtype=torch.float32)], 0
    for logits in head(states[:, :-1][counted]):
        target = wanted[start : start + len(logits), None]
        start += len(logits)
        found.append(logits.gather(1, target)[:, 0] - logits.logsumexp(1))
    total = torch.zeros(len(ids), device=ids.device)
    total.index_add_(0, counted.nonzero()[:, 0], torch.cat(found))
    return (total / counted.sum(1) if mean else total).unsqueeze(1)


def agreement(answers: Answers, head: Head, states: Tensor, ids: Tensor, place: Tensor) -> Tensor:
    """What log P(yes) - log P(no) is after each row; the probabilities of variants add up."""
    yes, no = (torch.tensor(words, device=ids.device) for words in answers)
    ends = states[torch.arange(len(ids), device=ids.device), place.argmax(1)]
    found = [logits[:, yes].logsumexp(1) - logits[:, no].logsumexp(1) for logits in head(ends)]
    return torch.cat(found).unsqueeze(1)


def load(
    folder: Folder, model: str, precision: Precision, device: torch.device
) -> tuple[TorchBackend, Any]:
    """The folder's causal language model: its body, and the whole; ModelError where it has none."""
    network = read(AutoModelForCausalLM, folder, model, precision, _COMPUTED).to(device).eval()
    return backend(network.base_model, folder, device), network


@torch.inference_mode()
def check_head(decoder: Decoder, precision: Precision, ids: list[int]) -> None:
    """ModelError unless states through the head are the logits that the whole model gives."""
    row = torch.tensor([ids], device=decoder.device)
    ours = torch.cat(list(decoder.head(decoder.backend.states(row, None)[0])))
    theirs = decoder.network(input_ids=row).logits[0].float()
    if (ours - theirs).abs().max() > _TOLERANCE[precision] * max(1.0, float(theirs.abs().max())):
        problem = f"{type(decoder.network).__name__} does more than its head to make logits"
        raise ModelError(decoder.model, f"{problem}; it is not known how to score with it")
