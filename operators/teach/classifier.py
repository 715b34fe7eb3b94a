"""Token ids of a pair to one logit, by a sequence classifier of transformers."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from operators.encode.graph import opened
from operators.encode.strategy import Engine, Precision
from operators.encode.torch_backend import padding_id, read
from operators.errors import ModelError
from operators.model import Folder
from operators.teach import probe
from operators.text.paired import Paired, encode_pairs

_COMPUTED = ("position_ids", "rotary_emb.")
_REPEATS = 100
"""Of the probe's text, to be longer than any length."""


@dataclass(frozen=True)
class Classifier:
    """Maps ids and mask (rows, tokens) and the tokens of type 0 (rows) to (rows, 1) logits."""

    model: str
    network: Any
    device: torch.device
    pad: int
    has_types: bool
    """The network is told which of the two texts a token belongs to."""
    dim: int = 1

    def __call__(self, ids: Tensor, mask: Tensor | None, prompts: Tensor | None) -> Tensor:
        extra = {}
        if self.has_types and prompts is not None:
            place = torch.arange(ids.shape[1], device=ids.device)
            types = (place >= prompts.unsqueeze(1)).long()
            extra["token_type_ids"] = types if mask is None else types * mask
        logits: Tensor = self.network(input_ids=ids, attention_mask=mask, **extra)[0]
        return logits.float()


def load(
    folder: Folder,
    model: str,
    precision: Precision,
    device: torch.device,
    tokenizer: Paired,
    engine: Engine = "torch",
) -> Classifier:
    """The folder's classifier; ModelError unless its tokens and padding are what is relied on."""
    theirs = AutoTokenizer.from_pretrained(
        folder.tokenizer.parent, local_files_only=True, trust_remote_code=False
    )
    has_types = "token_type_ids" in theirs.model_input_names
    load_as = partial(read, AutoModelForSequenceClassification, folder, model)
    if engine == "torch":
        network = load_as(precision, _COMPUTED).to(device).eval()
    else:
        whole = partial(load_as, "fp32", _COMPUTED)
        network = opened(folder, model, whole, engine, precision, types=has_types)
    classifier = Classifier(model, network, device, padding_id(folder), has_types)
    query, text = probe.texts(folder)
    for pair in ((query, text), (query, text * _REPEATS), (text * _REPEATS, query)):
        _check_tokens(classifier, folder, tokenizer, theirs, pair)
    ids, lengths, zeros = encode_pairs(tokenizer, [query, query[:4]], [text, text[:9]])
    probe.check_padding(classifier, precision, ids, lengths, zeros)
    return classifier


def _check_tokens(
    classifier: Classifier, folder: Folder, tokenizer: Paired, theirs: Any, pair: tuple[str, str]
) -> None:
    """ModelError unless transformers gives the pair the same ids and token types."""
    ids, lengths, zeros = encode_pairs(tokenizer, [pair[0]], [pair[1]])
    wanted = theirs(*pair, truncation="longest_first", max_length=folder.max_length)
    if ids.tolist() != wanted["input_ids"]:
        raise ModelError(
            classifier.model,
            "its tokenizer.json gives a pair other tokens than its AutoTokenizer; write it anew "
            "with AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
        )
    types = np.arange(int(lengths[0])) >= zeros[0]
    if classifier.has_types and types.tolist() != [bool(t) for t in wanted["token_type_ids"]]:
        problem = "its token types are not zeros for the first text, then ones for the second"
        raise ModelError(classifier.model, problem)
