"""Builders of tiny random models: real architectures and folders, a few kilobytes of weights."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'\"-()%/"
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
PAD, UNKNOWN, CLS, SEP = range(4)
VOCABULARY = {
    piece: place
    for place, piece in enumerate(
        (*SPECIALS, *LETTERS, *(f"##{letter}" for letter in LETTERS), "the", "of", "and")
    )
}


def build_bert(
    folder: Path,
    *,
    dim: int = 32,
    seed: int = 0,
    max_length: int = 64,
    pooling: str = "mean",
    include_prompt: bool = True,
    dense: int = 0,
    prompts: dict[str, str] | None = None,
) -> Path:
    """A sentence-transformers folder: BERT, pooling, a dense layer where asked, normalize."""
    from transformers import BertConfig

    config = BertConfig(**_encoder_sizes(dim), max_position_embeddings=max_length)
    save_model(config, folder, seed)
    save_tokenizer(folder, "[CLS] $A [SEP]", max_length)
    modules = ["Transformer", "Pooling", *(["Dense"] if dense else []), "Normalize"]
    _write(folder / "modules.json", [_module(place, kind) for place, kind in enumerate(modules)])
    _write(folder / "sentence_bert_config.json", {"max_seq_length": max_length})
    stated = {"prompts": prompts or {}, "default_prompt_name": None}
    _write(folder / "config_sentence_transformers.json", stated)
    pools = {"embedding_dimension": dim, "pooling_mode": pooling, "include_prompt": include_prompt}
    _write(folder / "1_Pooling" / "config.json", pools)
    if dense:
        _save_dense(folder / "2_Dense", dim, dense, seed)
    (folder / f"{len(modules) - 1}_Normalize").mkdir()
    return folder


def build_roberta(folder: Path, *, dim: int = 32, seed: int = 0) -> Path:
    """A bare RoBERTa: positions start after the padding id."""
    from transformers import RobertaConfig

    sizes = _encoder_sizes(dim)
    save_model(RobertaConfig(**sizes, max_position_embeddings=65), folder, seed)
    return save_tokenizer(folder, "[CLS] $A [SEP]", 64)


def build_gpt2(folder: Path, *, dim: int = 32, seed: int = 0) -> Path:
    """A bare GPT-2: causal, absolute positions, no special tokens."""
    from transformers import GPT2Config

    sizes = {"n_embd": dim, "n_layer": 2, "n_head": 2, "vocab_size": len(VOCABULARY)}
    ends = {"bos_token_id": CLS, "eos_token_id": SEP, "pad_token_id": PAD}
    save_model(GPT2Config(**sizes, **ends, n_positions=64, initializer_range=0.3), folder, seed)
    return save_tokenizer(folder, "$A", 64)


def build_llama(folder: Path, *, dim: int = 32, seed: int = 0) -> Path:
    """A bare Llama: causal, rotary positions, a first special token."""
    from transformers import LlamaConfig

    save_model(LlamaConfig(**_decoder_sizes(dim)), folder, seed)
    return save_tokenizer(folder, "[CLS] $A", 64)


def build_qwen3(folder: Path, *, dim: int = 32, seed: int = 0) -> Path:
    """A bare Qwen3: causal, rotary positions, a last special token."""
    from transformers import Qwen3Config

    save_model(Qwen3Config(**_decoder_sizes(dim), head_dim=16), folder, seed)
    return save_tokenizer(folder, "$A [SEP]", 64)


BUILDERS = {
    "bert": build_bert,
    "roberta": build_roberta,
    "gpt2": build_gpt2,
    "llama": build_llama,
    "qwen3": build_qwen3,
}


def build_classifier(
    folder: Path, kind: str = "bert", *, labels: int = 1, max_length: int = 64, seed: int = 0
) -> Path:
    """A cross-encoder of that architecture; only bert is told which text a token belongs to."""
    from transformers import BertConfig, LlamaConfig, ModernBertConfig, RobertaConfig

    joined = "[CLS] $A [SEP] [SEP] $B [SEP]"
    configs: dict[str, tuple[Any, dict[str, Any], str]] = {
        "bert": (BertConfig, _encoder_sizes(32), "[CLS] $A [SEP] $B:1 [SEP]:1"),
        "roberta": (RobertaConfig, {**_encoder_sizes(32), "max_position_embeddings": 65}, joined),
        "modernbert": (ModernBertConfig, _modern_sizes(32), joined),
        "llama": (LlamaConfig, {**_decoder_sizes(32), "pad_token_id": PAD}, "[CLS] $A $B"),
    }
    make, sizes, pair = configs[kind]
    save_model(make(**sizes, num_labels=labels), folder, seed, "AutoModelForSequenceClassification")
    save_tokenizer(folder, "[CLS] $A [SEP]", max_length, pair)
    types = ["token_type_ids"] if kind == "bert" else []
    names = ["input_ids", *types, "attention_mask"]
    edit_json(folder / "tokenizer_config.json", model_input_names=names)
    return folder


def build_uni_encoder(folder: Path, *, max_length: int = 64, seed: int = 0) -> Path:
    """A BERT with the linear head `fc`, its weights named as the released uni-encoders' are."""
    from safetensors.numpy import load_file, save_file
    from transformers import BertConfig

    save_model(BertConfig(**_encoder_sizes(32), max_position_embeddings=max_length), folder, seed)
    random = np.random.default_rng(seed)
    weights = {
        f"bert.{name}": each for name, each in load_file(folder / "model.safetensors").items()
    }
    weights["fc.weight"] = random.normal(size=(1, 32)).astype(np.float32)
    weights["fc.bias"] = random.normal(size=1).astype(np.float32)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return save_tokenizer(folder, "[CLS] $A [SEP]", max_length)


def build_language_model(folder: Path, kind: str = "gpt2", *, seed: int = 0) -> Path:
    """A causal language model with its head; qwen3 has its special token at the end."""
    from transformers import Gemma2Config, GPT2Config, LlamaConfig, Qwen3Config

    ends = {"bos_token_id": CLS, "eos_token_id": SEP, "pad_token_id": PAD}
    gpt2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128, "vocab_size": 0}
    longer = {**_decoder_sizes(32), "max_position_embeddings": 128}
    configs: dict[str, tuple[Any, dict[str, Any], str]] = {
        "gpt2": (GPT2Config, {**gpt2, **ends, "initializer_range": 0.3}, "$A"),
        "llama": (LlamaConfig, longer, "[CLS] $A"),
        "qwen3": (Qwen3Config, {**longer, "head_dim": 16}, "$A [SEP]"),
        "gemma2": (Gemma2Config, {**longer, "head_dim": 16}, "[CLS] $A"),
    }
    make, sizes, template = configs[kind]
    config = make(**{**sizes, "vocab_size": len(VOCABULARY)})
    save_model(config, folder, seed, "AutoModelForCausalLM")
    return save_tokenizer(folder, template, 128)


def save_model(config: Any, folder: Path, seed: int, family: str = "AutoModel") -> None:
    """Random weights of the config's model, by default its base model, as safetensors."""
    import torch
    import transformers

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        getattr(transformers, family).from_config(config).save_pretrained(folder)


def save_tokenizer(folder: Path, template: str, max_length: int, pair: str | None = None) -> Path:
    """A word-piece tokenizer that knows letters: other texts give other tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece(VOCABULARY, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(list(SPECIALS))
    ends = [("[CLS]", CLS), ("[SEP]", SEP)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, pair=pair, special_tokens=ends
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    stated = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
    }
    _write(folder / "tokenizer_config.json", stated)
    return folder


def break_token(folder: Path, piece: str) -> None:
    """Make the embedding of one vocabulary entry NaN: only texts that hold it are spoilt."""
    from safetensors.numpy import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    for name, tensor in weights.items():
        if tensor.shape[:1] == (len(VOCABULARY),):
            weights[name] = tensor.copy()
            weights[name][VOCABULARY[piece]] = np.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def edit_json(path: Path, **changes: object) -> None:
    """Set keys of a JSON object in place."""
    _write(path, {**(json.loads(path.read_text()) if path.exists() else {}), **changes})


def old_spelling(folder: Path) -> None:
    """Write modules.json and the pooling's config as sentence-transformers before 5 did."""
    modules = json.loads((folder / "modules.json").read_text())
    for module in modules:
        module["type"] = "sentence_transformers.models." + module["type"].rpartition(".")[2]
    _write(folder / "modules.json", modules)
    pools = json.loads((folder / "1_Pooling" / "config.json").read_text())
    modes = {"mean": "mean_tokens", "cls": "cls_token", "lasttoken": "lasttoken"}
    old = {f"pooling_mode_{name}": mode == pools["pooling_mode"] for mode, name in modes.items()}
    _write(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": pools["embedding_dimension"], **old},
    )


def _encoder_sizes(dim: int) -> dict[str, Any]:
    return {
        "hidden_size": dim,
        "intermediate_size": 2 * dim,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "vocab_size": len(VOCABULARY),
        "pad_token_id": PAD,
        "initializer_range": 0.3,
    }


def _modern_sizes(dim: int) -> dict[str, Any]:
    ends = {"bos_token_id": CLS, "eos_token_id": SEP, "cls_token_id": CLS, "sep_token_id": SEP}
    return {**_encoder_sizes(dim), **ends, "max_position_embeddings": 64, "local_attention": 16}


def _decoder_sizes(dim: int) -> dict[str, Any]:
    ends = {"bos_token_id": CLS, "eos_token_id": SEP}
    return {
        **_encoder_sizes(dim),
        **ends,
        "num_key_value_heads": 1,
        "max_position_embeddings": 64,
    }


def _module(place: int, kind: str) -> dict[str, object]:
    home = (
        "sentence_transformers.base.modules"
        if kind != "Pooling"
        else ("sentence_transformers.sentence_transformer.modules")
    )
    path = "" if kind == "Transformer" else f"{place}_{kind}"
    return {"idx": place, "name": str(place), "path": path, "type": f"{home}.{kind.lower()}.{kind}"}


def _save_dense(folder: Path, inputs: int, outputs: int, seed: int) -> None:
    from safetensors.numpy import save_file

    _write(
        folder / "config.json",
        {
            "in_features": inputs,
            "out_features": outputs,
            "bias": True,
            "activation_function": "torch.nn.modules.activation.Tanh",
        },
    )
    random = np.random.default_rng(seed)
    weights = {
        "linear.weight": random.normal(size=(outputs, inputs)).astype(np.float32) / inputs**0.5,
        "linear.bias": random.normal(size=outputs).astype(np.float32),
    }
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def _write(path: Path, value: dict[str, Any] | Iterable[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
