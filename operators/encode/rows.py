"""Rows of ids made longer or shorter before the loop packs them, so that its budget counts them."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from operators.encode.loop import Ragged
from operators.errors import ModelError
from operators.model import Folder
from operators.text.tokenizer import complete

Ids = npt.NDArray[np.int32]
Marks = npt.NDArray[np.bool_]


class Ends(NamedTuple):
    """Special tokens that the tokenizer puts before and after each text."""

    leading: int
    trailing: int


def ends(folder: Folder) -> Ends:
    """How many special tokens stand at the ends of every row."""
    own = np.array(complete(folder, str(folder.path)).encode("a").special_tokens_mask, np.bool_)
    if own.all():
        return Ends(0, 0)
    return Ends(int(np.argmin(own)), int(np.argmin(own[::-1])))


def shortened(rows: Ragged, room: int, folder: Folder, model: str) -> tuple[Ragged, Marks]:
    """Rows of at most `room` tokens, their special tokens kept, and which of them lost some.

    Tokens go at the side where the folder's tokenizer cuts. ModelError where no text has room, or
    none behind a prompt that is counted.
    """
    leading, trailing = ends(folder)
    if room <= leading + trailing:
        problem = f"its {folder.max_length} tokens leave no room for a text; raise max_length"
        raise ModelError(model, problem)
    excess = np.maximum(rows.lengths - room, 0)
    if not excess.any():
        return rows, excess > 0
    prompt = 0 if rows.prompts is None else int(rows.prompts[excess > 0].max())
    if prompt + trailing >= room:
        problem = f"its prompt of {prompt} tokens leaves no room for a text among {room}"
        raise ModelError(model, f"{problem}; set the max_length of tokenize to {room}")
    first = rows.lengths - trailing - excess
    if folder.truncation_side == "left":
        first = np.full(len(excess), leading, np.int32)
        first = first if rows.prompts is None else np.maximum(first, rows.prompts)
        first = np.minimum(first, rows.lengths - excess)
    parts = sliced(rows, np.zeros_like(first), first), sliced(rows, first + excess, rows.lengths)
    return joined(*parts, prompts=rows.prompts), excess > 0


def sliced(rows: Ragged, starts: Ids, stops: Ids) -> Ragged:
    """Of each row the tokens [start, stop)."""
    place = _places(rows)
    inside = np.repeat(starts, rows.lengths) <= place
    inside &= place < np.repeat(stops, rows.lengths)
    return Ragged(rows.ids[inside], _offsets(np.maximum(stops - starts, 0)))


def same(ids: Ids, count: int) -> Ragged:
    """The same tokens as each of `count` rows."""
    return Ragged(np.tile(ids, count), _offsets(np.full(count, len(ids), np.int32)))


def joined(*parts: Ragged, prompts: Ids | None = None) -> Ragged:
    """Row by row one part after the other."""
    at = _offsets(np.sum([part.lengths for part in parts], axis=0, dtype=np.int32))
    ids, offsets = np.empty(int(at[-1]), np.int32), at.copy()
    at = at[:-1]
    for part in parts:
        ids[np.repeat(at, part.lengths) + _places(part)] = part.ids
        at = at + part.lengths
    return Ragged(ids, offsets, prompts)


def _places(rows: Ragged) -> npt.NDArray[np.int64]:
    """The place of each token in its row, from 0."""
    return np.arange(len(rows.ids)) - np.repeat(rows.offsets[:-1], rows.lengths)


def _offsets(lengths: Ids) -> Ids:
    return np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
