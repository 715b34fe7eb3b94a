"""Builders of tiny random models that strategies with heads of their own need."""

from pathlib import Path
from typing import Any

from tests.tiny_models import PAD, VOCABULARY, save_tokenizer

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": len(VOCABULARY),
    "pad_token_id": PAD,
    "initializer_range": 0.3,
}


def build_masked(
    folder: Path, kind: str = "bert", *, bias: float = 0.0, seed: int = 0, tied: bool = True
) -> Path:
    """A masked language model of that architecture; `bias` is added to every word's logit."""
    import torch
    from transformers import AutoConfig, AutoModelForMaskedLM

    more: dict[str, Any] = {"max_position_embeddings": 66, "tie_word_embeddings": tied}
    if kind == "modernbert":
        ends = {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
        more |= {**ends, "local_attention": 16}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = AutoModelForMaskedLM.from_config(AutoConfig.for_model(kind, **SIZES, **more))
    with torch.no_grad():
        network.get_output_embeddings().bias += bias
    network.save_pretrained(folder)
    return save_tokenizer(folder, "[CLS] $A [SEP]", 64)


def build_confident(folder: Path) -> Path:
    """A masked language model to which every word seems likely: no weight is near a threshold."""
    return build_masked(folder, bias=20.0)


HEADS = {"confident": build_confident}
