"""Two texts to one row of token ids, as a model that reads both at once wants them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.model import Folder
from operators.text.tokenizer import CHARACTERS_A_CALL, CHARACTERS_A_TOKEN, beginning, loaded

Lengths = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Paired:
    """A `tokenizers.Tokenizer` that joins pairs by its own template and cuts the longer first."""

    encoder: Any
    head: int
    """Characters of a text that surely fill the length; 0 where the end of a text is kept."""


def paired(folder: Folder) -> Paired:
    """The folder's tokenizer for pairs of at most its length."""
    head = 0 if folder.truncation_side == "left" else folder.max_length * CHARACTERS_A_TOKEN
    return Paired(loaded(folder), head)


def encode_pairs(
    tokenizer: Paired, firsts: list[str], seconds: list[str]
) -> tuple[npt.NDArray[np.int32], Lengths, Lengths]:
    """All rows' ids end to end, ids a row, and how many of these are of token type 0."""
    ids: list[npt.NDArray[np.int32]] = []
    lengths, zeros = np.zeros((2, len(firsts)), np.int32)
    for start, stop in _calls(firsts, seconds):
        found = _encode_call(tokenizer, firsts[start:stop], seconds[start:stop])
        lengths[start:stop] = [len(row) for row in found]
        zeros[start:stop] = [row.type_ids.count(0) for row in found]
        ids.append(np.fromiter(chain.from_iterable(row.ids for row in found), np.int32))
    return np.concatenate([np.zeros(0, np.int32), *ids]), lengths, zeros


def _encode_call(tokenizer: Paired, firsts: list[str], seconds: list[str]) -> list[Any]:
    pairs = list(zip(firsts, seconds, strict=True))
    heads = [(beginning(a, tokenizer.head), beginning(b, tokenizer.head)) for a, b in pairs]
    found: list[Any] = tokenizer.encoder.encode_batch_fast(heads)
    for place, (pair, head) in enumerate(zip(pairs, heads, strict=True)):
        if pair != head and not _is_whole(found[place], pair, head):
            found[place] = tokenizer.encoder.encode_batch_fast([pair])[0]
    return found


def _is_whole(row: Any, pair: tuple[str, str], head: tuple[str, str]) -> bool:
    """Whether the ids of the heads are those of the whole texts.

    Of two texts that are too long together only the length of the shorter counts. So it must be
    the whole one, and still the shorter when tokens of the other were dropped.
    """
    if not row.overflowing or (pair[0] != head[0] and pair[1] != head[1]):
        return False
    first, second = (int(row.sequence_ids.count(side)) for side in (0, 1))
    return first < second if pair[0] == head[0] else second < first


def _calls(firsts: list[str], seconds: list[str]) -> Iterator[tuple[int, int]]:
    """Runs [start, stop) of pairs of bounded characters, a longer pair alone."""
    start = size = 0
    for place, (first, second) in enumerate(zip(firsts, seconds, strict=True)):
        more = len(first) + len(second)
        if size and size + more > CHARACTERS_A_CALL:
            yield start, place
            start, size = place, 0
        size += more
    if start < len(firsts):
        yield start, len(firsts)
