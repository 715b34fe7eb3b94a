"""Rows end to end in one forward pass, with no padding: attention is told where each row ends."""

from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from operators.encode.flat import Flat

NAME = "corpusmill_varlen"
"""What transformers calls this attention; calls that name no ends are its own `sdpa`."""
_HALF = (torch.float16, torch.bfloat16)
_OTHER = ("position_bias", "s_aux", "sliding_window", "softcap")
"""What a layer may ask of attention, and this one does not know."""


def states(network: Any, flat: Flat, first: int) -> Tensor:
    """(tokens, width) last hidden states of a network that `taught` prepared.

    ValueError where a layer asks for what this attention does not know. `first` is the position
    that the network gives the first token of a row.
    """
    found: Tensor = network(
        input_ids=flat.ids,
        position_ids=flat.positions + first,
        cu_seq_lens_q=flat.ends,
        cu_seq_lens_k=flat.ends,
        max_length_q=flat.longest,
        max_length_k=flat.longest,
        row_lengths=flat.lengths,
    )[0]
    return found[0]


def taught(network: Any) -> bool:
    """Have a network's layers ask this attention; False where it has an attention of its own."""
    if not getattr(network, "_supports_attention_backend", False):
        return False
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, _mask)
    network.set_attn_implementation(NAME)
    return bool(network.config._attn_implementation == NAME)


def first_position(network: Any) -> int:
    """The position of a row's first token: RoBERTa and its kin count from after their padding."""
    for name, module in network.named_modules():
        if (
            name.endswith("position_embeddings")
            and getattr(module, "padding_idx", None) is not None
        ):
            return int(module.padding_idx) + 1
    return 0


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **told: Any,
) -> tuple[Tensor, None]:
    """Each row by itself where `cu_seq_lens_q` is told.

    (1, heads, tokens, d) to (1, tokens, heads, d). ValueError where a layer asks for what is not
    known here.
    """
    ends = told.get("cu_seq_lens_q")
    if ends is None:
        whole: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **told
        )
        return whole
    asked = [name for name in _OTHER if told.get(name) is not None]
    if (told.get("sliding_window") or 0) >= told["max_length_q"]:
        asked.remove("sliding_window")
    if asked or attention_mask is not None:
        raise ValueError(f"rows end to end cannot be given {', '.join(asked) or 'a mask'}")
    named = told.get("is_causal")
    causal = bool(getattr(module, "is_causal", True) if named is None else named)
    scale = told.get("scaling")
    if query.is_cuda and query.dtype in _HALF:
        return _fused(query, key, value, ends, told["max_length_q"], causal, scale), None
    return _by_length(query, key, value, told["row_lengths"], causal, scale), None


def _fused(
    query: Tensor, key: Tensor, value: Tensor, ends: Tensor, longest: int, *how: Any
) -> Tensor:
    """The kernel for rows of any lengths, which CUDA has for half precision."""
    from torch.nn.attention.varlen import varlen_attn

    causal, scale = how
    asked, seen, said = (each[0].transpose(0, 1) for each in (query, key, value))
    found: Any = varlen_attn(
        asked,
        seen,
        said,
        ends,
        ends,
        longest,
        longest,
        scale=scale,
        window_size=(-1, 0) if causal else (-1, -1),
        enable_gqa=key.shape[1] != query.shape[1],
    )
    whole: Tensor = found.unsqueeze(0)
    return whole


def _by_length(
    query: Tensor, key: Tensor, value: Tensor, lengths: list[int], causal: bool, scale: float | None
) -> Tensor:
    """Neighbours of one length share a call, so sorted rows need few of them."""
    starts = [0, *accumulate(lengths)]
    shared = key.shape[1] != query.shape[1]
    parts, row = [], 0
    while row < len(lengths):
        length, stop = lengths[row], row + 1
        while stop < len(lengths) and lengths[stop] == length:
            stop += 1
        part = slice(starts[row], starts[stop])
        asked, seen, said = (
            each[0, :, part].reshape(len(each[0]), stop - row, length, -1).transpose(0, 1)
            for each in (query, key, value)
        )
        found = torch.nn.functional.scaled_dot_product_attention(
            asked, seen, said, is_causal=causal, scale=scale, enable_gqa=shared
        )
        parts.append(found.transpose(1, 2).flatten(0, 1))
        row = stop
    return torch.cat(parts).unsqueeze(0)


def _mask(*given: Any, attention_mask: Tensor | None = None, **told: Any) -> Tensor | None:
    """None where nothing is padding: the layers are told of rows and of causality otherwise."""
    if attention_mask is None:
        return None
    mask: Tensor | None = sdpa_mask(*given, attention_mask=attention_mask, **told)
    return mask
