"""What is checked when a model is opened, before it can spoil a corpus without a sound."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from operators.encode.embedder import Backend, Embedder
from operators.encode.loop import Forward, Loop, Ragged, padded
from operators.encode.shape import Shape
from operators.errors import ModelError
from operators.model import Folder
from operators.text.tokenizer import load

TEXT = "The QUICK brown fox — naïve, 12.5 % of café visits in 東京 — doesn't jump over it."
_TOLERANCE = {torch.float32: 1e-4}
_LOW_TOLERANCE = 1e-3


class Probed(Forward, Protocol):
    """A forward pass whose network can be asked for its dtype."""

    @property
    def backend(self) -> Backend: ...


def self_check(folder: Folder, shape: Shape, embedder: Embedder) -> None:
    """Raise ModelError unless tokens, padding and attention are what the rest relies on."""
    check_vectors(folder, embedder)
    if shape.guessed:
        _check_direction(folder, embedder)


def _as_they_are(rows: Ragged) -> Ragged:
    return rows


def check_vectors(
    folder: Folder, embedder: Probed, prepared: Callable[[Ragged], Ragged] = _as_they_are
) -> None:
    """ModelError unless the tokenizers agree and padding changes no vector."""
    text = _text(folder)
    ids = load(folder).encode(text).ids
    check_tokens(folder, embedder.model, text, ids)
    _check_padding(embedder, np.array(ids[: folder.max_length], np.int32), prepared)


def check_sight(folder: Folder, embedder: Embedder, *, both_ways: bool) -> None:
    """ModelError unless the first token sees the last one, or does not, as a strategy says."""
    if _looks_both_ways(folder, embedder) != both_ways:
        seen = "still looks only back" if both_ways else "looks both ways"
        problem = f"{folder.model_type} {seen} under the strategy's mask; it cannot be used with it"
        raise ModelError(embedder.model, problem)


def _text(folder: Folder) -> str:
    return TEXT.lower() if folder.lower_case else TEXT


def check_tokens(folder: Folder, model: str, text: str, ours: list[int]) -> None:
    """ModelError unless the model's own tokenizer gives the text the same ids."""
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(
        folder.tokenizer.parent, local_files_only=True, trust_remote_code=False
    )(text)["input_ids"]
    if ours != theirs:
        raise ModelError(
            model,
            "its tokenizer.json gives other tokens than its AutoTokenizer; write it anew with "
            "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
        )


def _check_padding(
    embedder: Probed, long: npt.NDArray[np.int32], prepared: Callable[[Ragged], Ragged]
) -> None:
    short = long[: max(len(long) // 4, 1)]
    one = Ragged(short, np.array([0, len(short)], np.int32))
    ends = np.array([0, len(long), len(long) + len(short)], np.int32)
    both = Ragged(np.concatenate([long, short]), ends)
    one, both = prepared(one), prepared(both)
    alone = Loop(embedder, 1).encode_unit(one)[0].astype(np.float64)
    among = Loop(embedder, 2 * int(both.lengths.max())).encode_unit(both)[1].astype(np.float64)
    if not (np.isfinite(alone).all() and np.isfinite(among).all()):
        raise ModelError(
            embedder.model,
            "gives vectors that are not finite; its weights are broken, or fp16 is too narrow for "
            "it: take bf16 or fp32",
        )
    cosine = float(alone @ among) / max(float(np.linalg.norm(alone) * np.linalg.norm(among)), 1e-30)
    dtype = embedder.backend.network.dtype
    if 1 - cosine > _TOLERANCE.get(dtype, _LOW_TOLERANCE):
        raise ModelError(
            embedder.model,
            f"a text alone and the same text beside a longer one differ (cosine {cosine:.5f}): "
            "its padding is not left out",
        )


@torch.inference_mode()
def moved(embedder: Embedder, ids: list[int], changed: list[int]) -> npt.NDArray[np.bool_]:
    """Which states of a row of tokens are others where it is changed to another of its length."""
    rows = Ragged(np.array([*ids, *changed], np.int32), np.array([0, 1, 2], np.int32) * len(ids))
    matrix, _ = padded(rows, np.arange(2), embedder.pad)
    states = embedder.backend.states(torch.from_numpy(matrix).to(embedder.device), None).float()
    found: npt.NDArray[np.bool_] = ((states[0] - states[1]).abs().amax(1) > 1e-6).cpu().numpy()
    return found


def ids_of_text(folder: Folder) -> list[int]:
    """Tokens to try a network with."""
    found: list[int] = load(folder).encode(_text(folder)).ids[: folder.max_length]
    return found


def _looks_both_ways(folder: Folder, embedder: Embedder) -> bool:
    """Whether the last token moves the first state."""
    ids = ids_of_text(folder)
    return bool(moved(embedder, ids, [*ids[:-1], ids[0]])[0])


def _check_direction(folder: Folder, embedder: Embedder) -> None:
    """The last token must move the first state exactly where attention looks both ways."""
    moved = _looks_both_ways(folder, embedder)
    if moved == folder.is_decoder:
        seen, pooling = ("both ways", "mean") if moved else ("only back", "last")
        raise ModelError(
            embedder.model,
            f"its attention looks {seen}, which its config.json does not say; "
            f"name the pooling, for example {pooling}",
        )
