"""What planning must know about an architecture without loading it, by `model_type`."""

from typing import Any, Literal

OFFSET_POSITIONS = frozenset(
    {
        "camembert",
        "data2vec-text",
        "ibert",
        "longformer",
        "luke",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)
"""Their table of positions starts after the padding id."""

TABLE_POSITIONS = OFFSET_POSITIONS | {
    "albert",
    "bert",
    "distilbert",
    "electra",
    "ernie",
    "gpt2",
    "gpt_neo",
    "megatron-bert",
    "mobilebert",
    "opt",
    "rembert",
    "squeezebert",
}
"""They look positions up in a table: a longer text cannot be encoded at all."""

DECODERS = frozenset(
    {
        "gemma",
        "gemma2",
        "gemma3_text",
        "gpt2",
        "gpt_neo",
        "gpt_neox",
        "gptj",
        "granite",
        "llama",
        "mistral",
        "modernbert-decoder",
        "olmo",
        "olmo2",
        "opt",
        "phi",
        "phi3",
        "qwen2",
        "qwen3",
        "smollm3",
        "stablelm",
        "starcoder2",
    }
)
ENCODER_HALVES = frozenset({"mt5", "t5", "umt5"})
"""Encoder-decoders whose encoder is loaded without the decoder."""

Kind = Literal["encoder", "decoder", "encoder-half"]
_DECODER_HEADS = ("ForCausalLM", "LMHeadModel")
_UNLIMITED = 10**9


def is_decoder(config: dict[str, Any]) -> bool:
    """Whether attention looks only back, as far as config.json tells."""
    if config.get("use_bidirectional_attention") or config.get("is_causal") is False:
        return False
    known = config.get("model_type") in DECODERS or architecture(config).endswith(_DECODER_HEADS)
    return known or bool(config.get("is_decoder"))


def kind(config: dict[str, Any]) -> Kind:
    """Which of the three ways of reading a text the architecture has."""
    if config.get("model_type") in ENCODER_HALVES:
        return "encoder-half"
    return "decoder" if is_decoder(config) else "encoder"


def architecture(config: dict[str, Any]) -> str:
    """The class config.json names, "" where it names none."""
    return str((config.get("architectures") or [""])[0])


def width(config: dict[str, Any]) -> int:
    """Values in one token's state, 0 where config.json does not say."""
    keys = ("hidden_size", "n_embd", "d_model", "dim")
    return next((int(config[key]) for key in keys if config.get(key)), 0)


def positions(config: dict[str, Any]) -> int:
    """Tokens the model has positions for, 0 where config.json does not say."""
    table = int(config.get("max_position_embeddings") or config.get("n_positions") or 0)
    if config.get("model_type") in OFFSET_POSITIONS and table > 0:
        table -= int(config.get("pad_token_id") or 0) + 1
    return table if 0 < table < _UNLIMITED else 0


def stated_length(config: dict[str, Any], *stated: object) -> int:
    """The smallest of the position table and the first length stated; 512 where nothing is."""
    own = next((value for value in stated if isinstance(value, int | float) and value > 0), 0)
    limits = (int(own), positions(config))
    return min((limit for limit in limits if 0 < limit < _UNLIMITED), default=512)
