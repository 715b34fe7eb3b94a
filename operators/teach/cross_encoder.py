"""A teacher that reads query and document together and ends in one logit."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from operators.errors import ModelError
from operators.model import Model, resolve
from operators.teach.protocol import Scored, Scorer
from operators.text.paired import Paired, encode_pairs, paired

if TYPE_CHECKING:
    import torch

    from operators.encode.loop import Loop
    from operators.encode.strategy import Engine, Precision

_HEAD = "ForSequenceClassification"


@dataclass(frozen=True)
class CrossEncoder:
    """Any sequence classifier of transformers with one label; its raw logit is the score."""

    options: ClassVar[frozenset[str]] = frozenset({"backend"})
    roles: ClassVar[frozenset[str]] = frozenset()

    model: Model
    precision: "Precision" = "fp32"
    backend: "Engine" = "torch"

    def check(self) -> None:
        folder = resolve(self.model)
        if not folder.architecture.endswith(_HEAD):
            found = folder.architecture or "a model without a head"
            raise ModelError(
                self.model.path, f"is {found}; a cross-encoder must be a …{_HEAD} with one label"
            )
        labels = _labels(folder.config)
        if labels != 1:
            raise ModelError(
                self.model.path,
                f"gives {labels} logits; a teacher must have one logit (num_labels: 1)",
            )
        if folder.is_decoder and folder.config.get("pad_token_id") is None:
            raise ModelError(
                self.model.path,
                "its config.json has no pad_token_id, by which a decoder finds the end of a row",
            )
        if folder.prompts.get(folder.default_prompt):
            raise ModelError(self.model.path, "a cross-encoder with a default prompt is not known")

    def scorer(self, device: "torch.device", budget: int) -> Scorer:
        from operators.encode.device import token_budget
        from operators.encode.loop import Loop
        from operators.teach.classifier import load

        folder = resolve(self.model)
        tokenizer = paired(folder)
        network = load(folder, self.model.path, self.precision, device, tokenizer, self.backend)
        loop = Loop(network, budget or token_budget(device, folder.width))
        return _Scorer(tokenizer, loop)


@dataclass(frozen=True)
class _Scorer:
    tokenizer: Paired
    loop: "Loop"

    def __call__(self, queries: pa.Array, texts: pa.Array) -> Scored:
        from operators.encode.loop import Ragged

        strings = [list(column.to_numpy(zero_copy_only=False)) for column in (queries, texts)]
        ids, lengths, zeros = encode_pairs(self.tokenizer, *strings)
        offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
        logits = self.loop.encode_unit(Ragged(ids, offsets, zeros))[:, 0]
        return Scored(logits, np.zeros(len(logits), np.bool_))


def _labels(config: dict[str, Any]) -> int:
    """Logits the head gives; transformers makes two where config.json does not say."""
    named = config.get("id2label")
    return len(named) if named else int(config.get("num_labels") or 2)
