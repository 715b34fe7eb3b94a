"""A uni-encoder opened: its weights and head, and whether its layout is the one that is named."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import load_file
from transformers import AutoModel

from operators.encode.probe import check_tokens
from operators.encode.strategy import Precision
from operators.encode.torch_backend import read
from operators.errors import ModelError
from operators.model import Folder
from operators.teach import probe
from operators.teach.layouts import WHOLE
from operators.teach.segments import Head
from operators.text.tokenizer import Tokenizer
from operators.text.tokenizer import load as load_tokenizer

if TYPE_CHECKING:
    from operators.teach.uni_encoder import Packer

_UNUSED = ("pooler.", "position_ids")
_TOLERANCE = {"fp32": 1e-3, "bf16": 0.1, "fp16": 0.1}
_MOVED = 1e-6


def load(
    folder: Folder, model: str, precision: Precision, device: torch.device, *, headless: bool
) -> tuple[Any, Head | None]:
    """The BERT of the folder, and its head `fc` in float32 unless it has none."""
    network = read(AutoModel, folder, model, precision, _UNUSED).to(device).eval()
    if headless:
        return network, None
    weights: dict[str, torch.Tensor] = {}
    for file in folder.weights:
        weights |= {name: each for name, each in load_file(file).items() if name[:3] == "fc."}
    weight, bias = (weights[name].to(device).float() for name in ("fc.weight", "fc.bias"))
    return network, Head(weight[0], bias[0])


def check_tokenizer(folder: Folder, model: str, tokenizer: Tokenizer) -> None:
    """ModelError unless a text gets one special token at each end, and the model's own ids."""
    _, text = probe.texts(folder)
    found = load_tokenizer(folder).encode(text)
    check_tokens(folder, model, text, found.ids)
    special = found.special_tokens_mask
    if tokenizer.floor != 2 or not (special[0] and special[-1]):
        problem = "its tokenizer should put one special token at each end of a text"
        raise ModelError(model, f"{problem}; uni-encoder knows no other")


@torch.inference_mode()
def check(folder: Folder, scorer: "Packer", precision: Precision) -> None:
    """ModelError unless company, query and padding move a logit exactly where the layout says."""
    query, text = probe.texts(folder)
    other = text[: len(text) // 2]

    def first(*pairs: tuple[str, str]) -> float:
        queries, texts = zip(*pairs, strict=True)
        return float(scorer(pa.array(queries), pa.array(texts)).logits[0])

    alone = first((query, other))
    model, layout = scorer.forward.model, scorer.forward.layout
    if not np.isfinite(alone):
        problem = "gives a logit that is not finite; its weights are broken, or fp16 is too narrow"
        raise ModelError(model, problem)
    near = _TOLERANCE[precision] * max(1.0, abs(alone))
    if abs(first((query, other), (text, text)) - alone) > near:
        raise ModelError(model, "a pair beside a longer one has another logit: padding is seen")
    moved = abs(first((query, other), (query, text)) - alone)
    if (moved > near) if layout not in WHOLE else (moved <= _MOVED):
        found = "moves" if layout not in WHOLE else "does not move"
        raise ModelError(model, f"under layout {layout} another candidate {found} a logit")
    if abs(first((other, other)) - alone) <= _MOVED:
        raise ModelError(model, f"under layout {layout} the query does not move a logit")
