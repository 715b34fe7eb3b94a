"""Random weights of the presets' real architectures, with the vocabulary of the tiny models."""

from pathlib import Path

from operators.presets import PRESETS
from tests.tiny_models import CLS, PAD, SEP, VOCABULARY, save_model, save_tokenizer

FAMILIES = ("ettin-encoder-17m", "ettin-decoder-17m", "t5-encoder-small")
"""One of each: read both ways, only back, and the encoder of an encoder-decoder."""
_T5 = {"d_model": 64, "d_ff": 128, "d_kv": 16, "num_layers": 2, "num_heads": 4}
_MODERN = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "local_attention": 16,
    "bos_token_id": CLS,
    "cls_token_id": CLS,
    "eos_token_id": SEP,
    "sep_token_id": SEP,
    "max_position_embeddings": 256,
}


def build_preset(folder: Path, name: str, seed: int = 0) -> Path:
    """A folder of the preset's architecture, narrower and with fewer layers, some of them local."""
    from transformers import AutoConfig

    smaller = _T5 if PRESETS[name].model_type == "t5" else _MODERN
    config = PRESETS[name].config(vocab_size=len(VOCABULARY), pad_token_id=PAD, **smaller)
    save_model(AutoConfig.for_model(**config), folder, seed)
    template = "$A [SEP]" if PRESETS[name].model_type == "t5" else "[CLS] $A [SEP]"
    return save_tokenizer(folder, template, 64)
