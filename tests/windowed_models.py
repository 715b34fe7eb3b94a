"""Builders of tiny random models whose layers, some or all, see only tokens nearby."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.tiny_models import CLS, PAD, SEP, VOCABULARY, save_model, save_tokenizer

WINDOW = 6
"""Tokens: less than the texts of the tests have."""


def _sizes(layers: int) -> dict[str, Any]:
    return {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "vocab_size": len(VOCABULARY),
        "max_position_embeddings": 64,
        "initializer_range": 0.3,
        "pad_token_id": PAD,
        "bos_token_id": CLS,
        "eos_token_id": SEP,
    }


def _kinds(layers: int) -> list[str]:
    return ["full_attention" if place % 2 else "sliding_attention" for place in range(layers)]


def build_gemma3(folder: Path, *, layers: int = 2, seed: int = 0) -> Path:
    """A bare Gemma 3: causal, every second layer local, scaled embeddings."""
    from transformers import Gemma3TextConfig

    sizes = {**_sizes(layers), "num_key_value_heads": 1, "head_dim": 16}
    local = {"sliding_window": WINDOW, "layer_types": _kinds(layers)}
    save_model(Gemma3TextConfig(**sizes, **local), folder, seed)
    return save_tokenizer(folder, "[CLS] $A", 64)


def build_mistral(folder: Path, *, layers: int = 2, seed: int = 0) -> Path:
    """A bare Mistral: causal, every layer local."""
    from transformers import MistralConfig

    sizes = {**_sizes(layers), "num_key_value_heads": 1}
    save_model(MistralConfig(**sizes, sliding_window=WINDOW), folder, seed)
    return save_tokenizer(folder, "[CLS] $A [SEP]", 64)


def build_modernbert(folder: Path, *, layers: int = 2, seed: int = 0) -> Path:
    """A bare ModernBERT: both ways, every second layer local."""
    from transformers import ModernBertConfig

    ends = {"cls_token_id": CLS, "sep_token_id": SEP, "initializer_cutoff_factor": 2.0}
    local = {"local_attention": WINDOW, "layer_types": _kinds(layers)}
    save_model(ModernBertConfig(**_sizes(layers), **ends, **local), folder, seed)
    return save_tokenizer(folder, "[CLS] $A [SEP]", 64)


def build_modernbert_decoder(folder: Path, *, layers: int = 2, seed: int = 0) -> Path:
    """A bare decoder of ModernBERT's kind: causal, every second layer local."""
    from transformers import ModernBertDecoderConfig

    ends = {"cls_token_id": CLS, "sep_token_id": SEP}
    local = {"local_attention": 2 * WINDOW, "layer_types": _kinds(layers)}
    save_model(ModernBertDecoderConfig(**_sizes(layers), **ends, **local), folder, seed)
    return save_tokenizer(folder, "[CLS] $A [SEP]", 64)


WINDOWED: dict[str, Callable[..., Path]] = {
    "gemma3": build_gemma3,
    "mistral": build_mistral,
    "modernbert": build_modernbert,
    "modernbert-decoder": build_modernbert_decoder,
}
