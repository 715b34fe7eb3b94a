"""What is checked when a teacher is opened, before it can spoil a table without a sound."""

import numpy as np
import numpy.typing as npt
import torch

from operators.encode.loop import Forward, Loop, Ragged
from operators.encode.probe import check_tokens
from operators.encode.strategy import Precision
from operators.errors import ModelError
from operators.model import Folder
from operators.teach.decoder import Decoder, check_head
from operators.teach.prompts import Prompter, encode_prompts

_QUERY = "Why doesn't the QUICK fox jump?"
_TEXT = "The lazy dog — naïve, 12.5 % of café visits in 東京 — lies in its way. "
_TOLERANCE = {"fp32": 1e-3, "bf16": 0.1, "fp16": 0.1, "int8": 0.1}
"""Of a logit, or as a share of one that is larger than one."""

Counts = npt.NDArray[np.int32]


def texts(folder: Folder) -> tuple[str, str]:
    """A query and a text that try a tokenizer."""
    return (_QUERY.lower(), _TEXT.lower()) if folder.lower_case else (_QUERY, _TEXT)


@torch.inference_mode()
def check_padding(
    forward: Forward,
    precision: Precision,
    ids: npt.NDArray[np.int32],
    lengths: Counts,
    leading: Counts,
) -> None:
    """ModelError unless the second, shorter row has the same logit alone and beside the first."""
    ends = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
    both = Ragged(ids, ends, leading)
    one = Ragged(ids[ends[1] :], ends[1:] - ends[1], leading[1:])
    alone = float(Loop(forward, 1).encode_unit(one)[0, 0])
    among = float(Loop(forward, 2 * int(lengths.max())).encode_unit(both)[1, 0])
    if not np.isfinite([alone, among]).all():
        raise ModelError(
            forward.model,
            "gives a logit that is not finite; its weights are broken, or fp16 is too narrow for "
            "it: take bf16 or fp32",
        )
    if abs(alone - among) > _TOLERANCE[precision] * max(1.0, abs(alone)):
        raise ModelError(
            forward.model,
            f"a pair alone and the same pair beside a longer one differ (logit {alone:.4f} and "
            f"{among:.4f}): its padding is not left out",
        )


def check_decoder(
    folder: Folder, decoder: Decoder, precision: Precision, prompter: Prompter
) -> None:
    """ModelError unless tokens, head and padding of a decoder are what its scores rely on."""
    query, text = texts(folder)
    check_tokens(folder, decoder.model, text, prompter.encoder.encode(text).ids)
    found = encode_prompts(prompter, [query, query[:3]], [text, text[:9]])
    if not found.lengths.all():
        problem = f"{prompter.max_length} tokens leave no room for a text within the template"
        raise ModelError(decoder.model, problem)
    check_head(decoder, precision, found.ids[: found.lengths[0]].tolist())
    check_padding(decoder, precision, *found)
