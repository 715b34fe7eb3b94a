"""Models by short names: families whose members differ in one thing, and what each must be.

Ettin: pairs of an encoder and a decoder trained alike on the same text, and each trained on in the
other's way ("Seq vs Seq", paper 112 of docs/techniques.md). T5: the encoder half of an
encoder-decoder (85). Sizes are those that their authors publish.
"""

from pathlib import Path
from typing import Any, NamedTuple

from operators.families import Kind


class Preset(NamedTuple):
    """A model on the hub; sizes are for telling, and for building one of random weights."""

    path: str
    kind: Kind
    model_type: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    vocabulary: int

    def config(self, **changed: Any) -> dict[str, Any]:
        """What transformers' `AutoConfig.for_model` takes to build it."""
        if self.model_type == "t5":
            sizes = {
                "d_model": self.hidden,
                "d_ff": self.intermediate,
                "d_kv": self.hidden // self.heads,
                "num_layers": self.layers,
                "num_heads": self.heads,
            }
        else:
            sizes = {
                "hidden_size": self.hidden,
                "intermediate_size": self.intermediate,
                "num_hidden_layers": self.layers,
                "num_attention_heads": self.heads,
            }
        return {"model_type": self.model_type, "vocab_size": self.vocabulary, **sizes, **changed}


_ETTIN = {
    "17m": (7, 256, 384, 4),
    "32m": (10, 384, 576, 6),
    "68m": (19, 512, 768, 8),
    "150m": (22, 768, 1152, 12),
    "400m": (28, 1024, 2624, 16),
    "1b": (28, 1792, 3840, 28),
}
"""Layers, hidden, intermediate, heads."""
_T5 = {"small": (6, 512, 2048, 8), "base": (12, 768, 3072, 12), "large": (24, 1024, 4096, 16)}
_WAYS: dict[str, tuple[Kind, str]] = {
    "encoder": ("encoder", "modernbert"),
    "decoder": ("decoder", "modernbert-decoder"),
    "encoder-from-decoder": ("encoder", "modernbert"),
    "decoder-from-encoder": ("decoder", "modernbert-decoder"),
}

PRESETS: dict[str, Preset] = {
    f"ettin-{way}-{size}": Preset(f"jhu-clsp/ettin-{way}-{size}", *kind, *sizes, 50_368)
    for size, sizes in _ETTIN.items()
    for way, kind in _WAYS.items()
} | {
    f"t5-encoder-{size}": Preset(f"google-t5/t5-{size}", "encoder-half", "t5", *sizes, 32_128)
    for size, sizes in _T5.items()
}


def preset(path: str) -> Preset | None:
    """The preset that a model's path names; a folder of that name comes first."""
    return None if Path(path).expanduser().is_dir() else PRESETS.get(path)
