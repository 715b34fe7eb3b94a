"""How the rows of a batch are laid out for the network: padded, end to end, or in few shapes."""

import os
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from operators.encode import varlen
from operators.encode.budget import Shapes
from operators.encode.embedder import Embedder
from operators.encode.fastest import best
from operators.encode.flat import Flat, rows_of
from operators.encode.graph import cache
from operators.encode.loop import Loop, Ragged
from operators.encode.pooling import places
from operators.encode.probe import ids_of_text
from operators.encode.strategy import Opening
from operators.encode.torch_backend import TorchBackend
from operators.errors import ModelError, RowError

_SHORTEST = 3
_LENGTHS, _LEAST_STEP = 16, 16
"""Lengths that batches may have, and tokens between two of them."""
_TIMED = 512
"""Tokens of a row that is timed, at most: texts are seldom as long as a model takes them."""
_NEAR = {torch.float32: 1e-5}
_NEAR_HALF = 1e-4
"""What the cosine of a vector by both ways may lack to one."""


@dataclass(frozen=True)
class EndToEnd:
    """Vectors of rows that lie end to end, by a network that `varlen.taught` prepared."""

    network: Embedder
    first: int
    """The position of a row's first token."""

    def __call__(self, flat: Flat, prompts: Tensor | None) -> Tensor:
        found = varlen.states(self.network.backend.network, flat, self.first)
        states, mask = rows_of(found, flat)
        return self.network.pooled(states, places(mask, prompts))


def loop_of(network: Embedder, opening: Opening) -> Loop:
    """The loop with the layout that is asked for; `auto` measures or pads.

    It measures on CUDA in half precision, which has a kernel for rows of any lengths.
    `compiled` is measured, too: padded rows stay where that is slower. ModelError where `varlen`
    is asked for and the network's attention cannot be told of rows.
    """
    opening = replace(opening, token_budget=opening.budget)
    loop = Loop(network, opening.budget)
    asked = opening.batches
    if asked == "compiled":
        few = compiled(network, opening)
        return few if faster(few, loop, _sample(opening)) else loop
    flash = opening.device.type == "cuda" and opening.precision != "fp32"
    if asked == "padded" or (asked == "auto" and not flash):
        return loop
    try:
        flat = _end_to_end(network, opening)
    except ModelError:
        if asked == "varlen":
            raise
        return loop
    laid = replace(loop, flat=flat)
    if asked == "auto" and not faster(laid, loop, _sample(opening)):
        return loop
    return laid


def _end_to_end(network: Embedder, opening: Opening) -> EndToEnd:
    """ModelError, and the network as it was, unless rows end to end give the padded vectors."""
    backend = network.backend
    if not isinstance(backend, TorchBackend) or opening.engine != "torch":
        raise _refused(network, f"backend {opening.engine} takes padded rows only")
    window = getattr(backend.network.config, "sliding_window", None)
    if window is not None and window < opening.folder.max_length:
        raise _refused(network, f"its layers look at windows of {window} tokens")
    before = getattr(backend.network.config, "_attn_implementation", None)
    rows = _rows(opening, [_SHORTEST, min(17, opening.folder.max_length), _SHORTEST])
    padded = Loop(network, opening.budget).encode_unit(rows)
    if not varlen.taught(backend.network):
        raise _refused(network, "its attention is its own")
    found = EndToEnd(network, varlen.first_position(backend.network))
    try:
        laid = replace(Loop(network, opening.budget), flat=found).encode_unit(rows)
    except (ValueError, TypeError, RuntimeError) as error:
        backend.network.set_attn_implementation(before)
        raise _refused(network, str(error).split("\n")[0]) from error
    if not _same(padded, laid, backend.network.dtype):
        backend.network.set_attn_implementation(before)
        raise _refused(network, "it gives other vectors so")
    return found


def compiled(network: Embedder, opening: Opening) -> Loop:
    """A loop of few shapes, for each of which torch compiles the network when it first comes.

    On CUDA a shape becomes a CUDA graph. ModelError for a backend other than torch.
    """
    backend = network.backend
    if not isinstance(backend, TorchBackend) or opening.engine != "torch":
        raise ModelError(network.model, f"backend {opening.engine} is compiled as it is")
    most = opening.folder.max_length
    shapes = Shapes(max(most // _LENGTHS, _LEAST_STEP), most)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache() / "inductor"))
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 4 * _LENGTHS)
    mode = "reduce-overhead" if opening.device.type == "cuda" else "default"
    made = torch.compile(backend.network, dynamic=False, mode=mode)
    laid = replace(network, backend=replace(backend, network=made))
    return Loop(laid, opening.budget, shapes=shapes)


def _refused(network: Embedder, why: str) -> ModelError:
    problem = f"its rows cannot lie end to end ({why}); set batches: padded"
    return ModelError(network.model, problem)


def _same(one: Any, other: Any, dtype: torch.dtype) -> bool:
    one, other = one.astype(np.float64), other.astype(np.float64)
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosines = np.einsum("nd,nd->n", one, other) / np.maximum(norms, 1e-30)
    return bool((1 - cosines <= _NEAR.get(dtype, _NEAR_HALF)).all())


def _sample(opening: Opening) -> Ragged:
    """A batch as it comes of sorted rows: a tenth shorter at its end than at its start."""
    longest = min(opening.folder.max_length, _TIMED)
    count = max(opening.budget // longest, 1)
    lengths = np.linspace(longest, max(longest * 9 // 10, 1), count).astype(int)
    return _rows(opening, lengths.tolist())


def _rows(opening: Opening, lengths: list[int]) -> Ragged:
    """Rows of a text, over and over: half precision knows little of tokens at random."""
    ids = np.resize(np.array(ids_of_text(opening.folder), np.int32), sum(lengths))
    offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
    return Ragged(ids, offsets)


def faster(one: Loop, other: Loop, rows: Ragged) -> bool:
    """Whether the first loop's best of some turns is the shorter; no where a row does not fit."""
    try:
        took, took_other = (best(partial(loop.encode_unit, rows)) for loop in (one, other))
    except RowError:
        return False
    return took < took_other
