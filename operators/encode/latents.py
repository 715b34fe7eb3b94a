"""Latent attention behind a decoder, under the names of the released weights of NV-Embed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import MistralConfig, MistralModel

from operators.encode.embedder import Backend
from operators.encode.strategy import Opening
from operators.encode.torch_backend import DTYPES, TorchBackend, backend, quiet
from operators.errors import ModelError
from operators.wrapped import LATENT

_BODY, _LATENT = "embedding_model.", "latent_attention_model."
_ATTENTION, _MLP = "cross_attend_blocks.0.", "cross_attend_blocks.1."
_HEADS = 8
_NAMES = (
    "latents",
    *(_ATTENTION + name for name in ("fn.to_q.weight", "fn.to_kv.weight", "fn.to_out.weight")),
    *(
        block + part
        for block, norms in ((_ATTENTION, ("norm", "norm_context")), (_MLP, ("norm",)))
        for norm in norms
        for part in (f"{norm}.weight", f"{norm}.bias")
    ),
    *(_MLP + f"fn.net.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias")),
)


@dataclass(frozen=True)
class Latents:
    """Token states that have asked the latents: of every token, as the states do not change.

    Queries are the tokens' states, keys and values the latents: no token sees another one here.
    """

    weights: Mapping[str, Tensor]
    heads: int

    def __call__(self, plain: Backend, ids: Tensor, mask: Tensor | None) -> Tensor:
        states = plain.states(ids, mask)
        states = states + self._attended(self._normed(states, _ATTENTION + "norm"))
        return states + self._widened(self._normed(states, _MLP + "norm"))

    def _attended(self, states: Tensor) -> Tensor:
        latents = self._normed(self.weights["latents"], _ATTENTION + "norm_context")
        asked = self._linear(states, _ATTENTION + "fn.to_q")
        keys, values = self._linear(latents, _ATTENTION + "fn.to_kv").chunk(2, dim=-1)
        query, key, value = (self._split(each) for each in (asked, keys, values))
        found = nn.functional.scaled_dot_product_attention(query, key, value)
        joined = found.transpose(-3, -2).flatten(-2)
        return self._linear(joined, _ATTENTION + "fn.to_out")

    def _widened(self, states: Tensor) -> Tensor:
        values, gates = self._linear(states, _MLP + "fn.net.0").chunk(2, dim=-1)
        return self._linear(values * nn.functional.gelu(gates), _MLP + "fn.net.2")

    def _split(self, states: Tensor) -> Tensor:
        """(…, tokens, heads x size) as (…, heads, tokens, size)."""
        return states.reshape(*states.shape[:-1], self.heads, -1).transpose(-3, -2)

    def _normed(self, states: Tensor, name: str) -> Tensor:
        weight, bias = (self.weights[f"{name}.{part}"] for part in ("weight", "bias"))
        return nn.functional.layer_norm(states, weight.shape, weight, bias)

    def _linear(self, states: Tensor, name: str) -> Tensor:
        return nn.functional.linear(
            states, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias")
        )


def load(opening: Opening) -> tuple[TorchBackend, dict[str, Tensor], int]:
    """The decoder, the latents' weights and their heads; ModelError where weights are missing."""
    dtype, found = DTYPES[opening.precision], {}
    for file in opening.folder.weights:
        found.update(load_file(file))
    parts = [
        {name.removeprefix(start): each for name, each in found.items() if name.startswith(start)}
        for start in (_BODY, _LATENT)
    ]
    missing = [_LATENT + name for name in _NAMES if name not in parts[1]]
    missing += [] if parts[0] else [_BODY + "embed_tokens.weight"]
    if missing:
        problem = f"its weights lack {len(missing)} tensors of NV-Embed, the first is {missing[0]}"
        raise ModelError(opening.model, problem)
    network = _body(opening, parts[0])
    told = opening.folder.config[LATENT]
    heads = int(told.get("num_cross_heads", _HEADS))
    weights = {name: parts[1][name].to(opening.device, dtype) for name in _NAMES}
    return backend(network, opening.folder, opening.device), weights, heads


def _body(opening: Opening, weights: dict[str, Tensor]) -> Any:
    told = {key: value for key, value in opening.folder.config.items() if key != LATENT}
    told["use_cache"] = False  # a pass would keep every layer's keys and values
    with quiet():
        network, report = MistralModel.from_pretrained(
            None,
            config=MistralConfig(**told),
            state_dict=weights,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=DTYPES[opening.precision],
            output_loading_info=True,
        )
    missing = sorted(report["missing_keys"])
    if missing:
        problem = f"its weights lack {len(missing)} tensors, the first is {_BODY}{missing[0]}"
        raise ModelError(opening.model, problem)
    return network
