"""Fewer layers than a model has: which families can be cut, and what follows their last layer."""

from operator import attrgetter
from typing import Any

from operators.errors import ModelError
from operators.model import Folder

FINAL_NORMS = {
    "eurobert": "norm",
    "gemma": "norm",
    "gemma2": "norm",
    "gemma3_text": "norm",
    "gpt2": "ln_f",
    "gpt_neo": "ln_f",
    "gpt_neox": "final_layer_norm",
    "gptj": "ln_f",
    "granite": "norm",
    "llama": "norm",
    "mistral": "norm",
    "modernbert": "final_norm",
    "modernbert-decoder": "final_norm",
    "mt5": "encoder.final_layer_norm",
    "olmo": "norm",
    "olmo2": "norm",
    "phi": "final_layernorm",
    "phi3": "norm",
    "qwen2": "norm",
    "qwen3": "norm",
    "smollm3": "norm",
    "stablelm": "norm",
    "starcoder2": "norm",
    "t5": "encoder.final_layer_norm",
    "umt5": "encoder.final_layer_norm",
}
"""Families with a norm behind the last layer, and its name. A state between two layers is without
it: cut to n layers such a model gives the norm of what it had after n."""
_NORMED_LAYERS = frozenset(
    {"bert", "camembert", "distilbert", "electra", "ernie", "mpnet", "roberta", "xlm-roberta"}
)
"""Families whose layers end with a norm of their own: cut or not, n layers give the same."""
_DEPTHS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")


def depth(folder: Folder, model: str, kind: str) -> int:
    """How many layers it has; ModelError where that, or what follows them, is not known."""
    known = sorted(FINAL_NORMS.keys() | _NORMED_LAYERS)
    if folder.model_type not in known:
        problem = f"{folder.model_type} is none of the families that strategy {kind} can cut: "
        raise ModelError(model, problem + ", ".join(known))
    found = next((folder.config[key] for key in _DEPTHS if folder.config.get(key)), 0)
    if not found:
        raise ModelError(model, f"its config.json says no num_hidden_layers, as {kind} needs it")
    return int(found)


def final_norm(folder: Folder) -> str:
    """What is said of a state of some layer: `applied`, or `none` where the family has none."""
    return "applied" if folder.model_type in FINAL_NORMS else "none"


def layers_of(network: Any, count: int) -> Any:
    """The network's list of `count` layers."""
    return attrgetter(_place(network, count))(network)


def cut(network: Any, count: int, keep: int) -> None:
    """Drop all but the first `keep` of a network's `count` layers, in place."""
    parent, _, name = _place(network, count).rpartition(".")
    setattr(network.get_submodule(parent), name, layers_of(network, count)[:keep])
    network.config.num_hidden_layers = keep


def without_final_norm(network: Any, folder: Folder) -> None:
    """Let the network give the states of its last layer as they are, in place."""
    from torch import nn

    if folder.model_type in FINAL_NORMS:
        parent, _, name = FINAL_NORMS[folder.model_type].rpartition(".")
        setattr(network.get_submodule(parent), name, nn.Identity())


def _place(network: Any, count: int) -> str:
    """The outermost list of as many modules."""
    from torch import nn

    found: str = next(
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    )
    return found
