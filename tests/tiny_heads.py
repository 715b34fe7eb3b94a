"""Builders of tiny random models that strategies with heads of their own need."""

import json
from pathlib import Path
from typing import Any

from tests.tiny_models import CLS, PAD, SEP, VOCABULARY, save_tokenizer

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


def build_nv_embed(folder: Path, *, latents: int = 5, heads: int = 2, seed: int = 0) -> Path:
    """A Mistral and latent attention, saved under the names that NV-Embed was released with."""
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import MistralConfig

    from tests.tiny_models import edit_json, save_model

    config = MistralConfig(
        **SIZES,
        num_key_value_heads=1,
        max_position_embeddings=64,
        bos_token_id=CLS,
        eos_token_id=SEP,
    )
    save_model(config, folder, seed)
    body = load_file(folder / "model.safetensors")
    weights = {f"embedding_model.{name}": tensor for name, tensor in body.items()}
    width, inner = int(SIZES["hidden_size"]), 2 * int(SIZES["hidden_size"])
    attention, mlp = "cross_attend_blocks.0.", "cross_attend_blocks.1."
    shapes = {
        "latents": (latents, width),
        attention + "fn.to_q.weight": (inner, width),
        attention + "fn.to_kv.weight": (2 * inner, width),
        attention + "fn.to_out.weight": (width, inner),
        mlp + "fn.net.0.weight": (8 * width, width),
        mlp + "fn.net.0.bias": (8 * width,),
        mlp + "fn.net.2.weight": (width, 4 * width),
        mlp + "fn.net.2.bias": (width,),
        **{
            f"{norm}.{part}": (width,)
            for norm in (attention + "norm", attention + "norm_context", mlp + "norm")
            for part in ("weight", "bias")
        },
    }
    random = torch.Generator().manual_seed(seed)
    for name, shape in shapes.items():
        weights[f"latent_attention_model.{name}"] = torch.randn(shape, generator=random) / 3
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    inside = json.loads((folder / "config.json").read_text()) | {"model_type": "bidir_mistral"}
    (folder / "config.json").unlink()
    edit_json(
        folder / "config.json",
        model_type="nvembed",
        architectures=["NVEmbedModel"],
        auto_map={"AutoModel": "modeling_nvembed.NVEmbedModel"},
        hidden_size=width,
        text_config=inside,
        latent_attention_config={"model_type": "latent_attention", "num_cross_heads": heads},
    )
    return save_tokenizer(folder, "[CLS] $A", 64)


def build_colbert(folder: Path, kind: str = "xmod", *, dim: int = 8, seed: int = 0) -> Path:
    """An encoder, with adapters of three languages where it is an xmod, and a linear layer;
    its tokenizer knows a mask and markers."""
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import AutoConfig

    from tests.tiny_models import edit_json, save_model

    more = ("[MASK]", "[unused0]", "[unused1]")
    sizes = SIZES | {"vocab_size": len(VOCABULARY) + len(more), "max_position_embeddings": 66}
    if kind == "xmod":
        sizes |= {"languages": ["en_XX", "de_DE", "pt_BR"], "adapter_reduction_factor": 2}
    save_model(AutoConfig.for_model(kind, **sizes), folder, seed)
    prefix = {"xmod": "roberta."}.get(kind, f"{kind}.")
    body = load_file(folder / "model.safetensors")
    random = torch.Generator().manual_seed(seed)
    linear = {"linear.weight": torch.randn(dim, int(sizes["hidden_size"]), generator=random)}
    weights = {prefix + name: each for name, each in body.items()} | linear
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    edit_json(folder / "config.json", architectures=["HF_ColBERT"])
    save_tokenizer(folder, "[CLS] $A [SEP]", 64)
    told = json.loads((folder / "tokenizer.json").read_text())
    told["model"]["vocab"] |= {token: len(VOCABULARY) + n for n, token in enumerate(more)}
    (folder / "tokenizer.json").write_text(json.dumps(told))
    return folder


HEADS = {"colbert": build_colbert, "confident": build_confident, "nv-embed": build_nv_embed}
