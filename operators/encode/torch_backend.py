"""Token states from a transformers model in PyTorch."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel, AutoModelForTextEncoding
from transformers.utils import logging

from operators.encode.strategy import Engine, Precision
from operators.errors import ModelError
from operators.families import ENCODER_HALVES
from operators.model import Folder

DTYPES = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "int8": torch.int8,
}
"""What a network computes its products in."""
_UNUSED = ("pooler.", "position_ids", "rotary_emb.")
"""Weights a checkpoint may lack: never used for token states, or computed."""


@dataclass(frozen=True)
class TorchBackend:
    """`states` maps ids and mask, both (rows, tokens), to the last hidden states."""

    network: Any
    device: torch.device
    pad: int
    numbers_positions: bool
    """Positions are passed, because padding on the left would move them."""

    def states(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """(rows, tokens, width) states; a mask of None means that no token is padding."""
        extra = self._positions(mask)
        states: Tensor = self.network(input_ids=ids, attention_mask=mask, **extra)[0]
        return states

    def layers(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """What the first layer is given, then the (rows, tokens, width) states after each."""
        asked = {"output_hidden_states": True, **self._positions(mask)}
        found = self.network(input_ids=ids, attention_mask=mask, **asked)
        states: tuple[Tensor, ...] = found.hidden_states
        return states

    def _positions(self, mask: Tensor | None) -> dict[str, Tensor]:
        if not self.numbers_positions or mask is None:
            return {}
        return {"position_ids": (mask.long().cumsum(1) - 1).clamp(min=0)}


def load(
    folder: Folder,
    model: str,
    precision: Precision,
    device: torch.device,
    engine: Engine = "torch",
) -> TorchBackend:
    """Load the folder's safetensors weights; ModelError when the architecture needs others."""
    if engine == "torch":
        return backend(network(folder, model, precision), folder, device)
    from operators.encode.graph import opened

    graph = opened(folder, model, partial(network, folder, model, "fp32"), engine, precision)
    return TorchBackend(graph, device, padding_id(folder), False)


def network(folder: Folder, model: str, precision: Precision) -> Any:
    """The network of transformers that gives the folder's token states, not yet on a device."""
    if folder.config.get("is_encoder_decoder") and folder.model_type not in ENCODER_HALVES:
        raise ModelError(model, f"{folder.model_type} has a decoder that this encoder cannot feed")
    family = AutoModelForTextEncoding if folder.model_type in ENCODER_HALVES else AutoModel
    return read(family, folder, model, precision, _UNUSED)


def backend(network: Any, folder: Folder, device: torch.device) -> TorchBackend:
    """A network whose first output is its last hidden states, moved to `device`."""
    network = network.to(device).eval()
    takes_positions = "position_ids" in inspect.signature(network.forward).parameters
    numbers_positions = folder.is_decoder and takes_positions
    return TorchBackend(network, device, padding_id(folder), numbers_positions)


def padding_id(folder: Folder) -> int:
    """The id that fills up shorter rows; what it stands for is masked."""
    return int(folder.config.get("pad_token_id") or 0)


def read(
    family: Any, folder: Folder, model: str, precision: Precision, unused: tuple[str, ...]
) -> Any:
    """The folder as a network of one of transformers' families, such as `AutoModel`.

    ModelError when its weights cannot be loaded, or lack a tensor whose name has no part of
    `unused`.
    """
    with quiet():
        try:
            network, report = family.from_pretrained(
                folder.path,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=DTYPES[precision],
                output_loading_info=True,
            )
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            cause = str(error).strip().split("\n")[0]
            raise ModelError(model, f"transformers cannot load it ({cause})") from error
    missing = sorted(
        name for name in report["missing_keys"] if not any(part in name for part in unused)
    )
    if missing:
        raise ModelError(
            model, f"its weights lack {len(missing)} tensors, the first is {missing[0]}"
        )
    network.config.use_cache = False  # a decoder would keep every layer's keys and values of a pass
    return network


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' progress bar and load report: what matters of it becomes an error."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
