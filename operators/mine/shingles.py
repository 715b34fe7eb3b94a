"""Texts as sets of runs of words, and how much two of them share."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from operators.mine.draws import as_bytes
from operators.mine.pool import Places

pc: Any = pyarrow.compute  # the stubs do not know the type of an encoded dictionary

_BLOCK = 4096
"""Texts cut into words at once: some 10 MB of them; their numbers have 12 bits."""
_BITS = np.uint64(52)
_MULTIPLIER = 0x9E3779B97F4A7C15
_NO_WORD = r"[^\p{L}\p{M}\p{N}]+"


@dataclass(frozen=True, eq=False)
class Shingles:
    """The distinct runs of words of n texts as 52-bit hashes, ascending within a text."""

    values: npt.NDArray[np.uint64]
    offsets: Places
    """(n + 1,)."""

    def of(self, text: int) -> npt.NDArray[np.uint64]:
        """The runs of one text."""
        return self.values[self.offsets[text] : self.offsets[text + 1]]

    def sizes(self, texts: Places) -> Places:
        """How many runs each text has."""
        sizes: Places = self.offsets[texts + 1] - self.offsets[texts]
        return sizes

    def shared(self, text: int, others: Places) -> Places:
        """How many runs each of the others shares with the text."""
        own, sizes = self.of(text), self.sizes(others)
        if not len(own) or not len(others):
            return np.zeros(len(others), np.int64)
        stops = np.cumsum(sizes)
        places = np.arange(stops[-1]) + np.repeat(self.offsets[others] - stops + sizes, sizes)
        values = self.values[places]
        found = own[np.minimum(np.searchsorted(own, values), len(own) - 1)] == values
        counted = np.append(0, np.cumsum(found))
        shared: Places = counted[stops] - counted[stops - sizes]
        return shared


def shingles(texts: Sequence[str], words: int) -> Shingles:
    """Every run of `words` words, case and what stands between words aside.

    A text with fewer words is one run, one without any has none.
    """
    blocks = [
        _block(pa.array(texts[start : start + _BLOCK], pa.string()), words)
        for start in range(0, len(texts), _BLOCK)
    ]
    sizes = np.concatenate([np.zeros(1, np.int64), *(np.diff(block.offsets) for block in blocks)])
    values = [np.zeros(0, np.uint64), *(block.values for block in blocks)]
    return Shingles(np.concatenate(values), np.cumsum(sizes))


def _block(texts: pa.Array, words: int) -> Shingles:
    cut = pc.split_pattern_regex(pc.utf8_lower(texts), _NO_WORD)
    text = np.asarray(pc.list_parent_indices(cut)).astype(np.int64)
    flat = pc.list_flatten(cut)
    filled = np.asarray(pc.not_equal(flat, ""))
    text, hashes = text[filled], _hashes(flat.filter(pa.array(filled)))
    counts = np.bincount(text, minlength=len(texts))
    left = np.repeat(np.cumsum(counts), counts) - np.arange(len(text))  # words to the text's end
    runs = np.zeros(len(text), np.uint64)
    padded = np.concatenate([hashes, np.zeros(words, np.uint64)])
    for step in range(words):
        word = np.where(step < left, padded[step : step + len(text)], np.uint64(0))
        runs = (runs + word) * np.uint64(_MULTIPLIER)
        runs ^= runs >> np.uint64(29)
    whole = (left >= words) | (left == counts[text])
    return _distinct(text[whole], runs[whole], len(texts))


def _distinct(text: Places, runs: npt.NDArray[np.uint64], texts: int) -> Shingles:
    """Sorts one number for both: the text above, 52 bits of the run below."""
    keyed = np.sort((text.astype(np.uint64) << _BITS) | (runs >> (np.uint64(64) - _BITS)))
    new = np.ones(len(keyed), np.bool_)
    new[1:] = keyed[1:] != keyed[:-1]
    keyed = keyed[new]
    sizes = np.bincount((keyed >> _BITS).astype(np.int64), minlength=texts)
    return Shingles(
        keyed & ((np.uint64(1) << _BITS) - np.uint64(1)), np.append(0, np.cumsum(sizes))
    )


def _hashes(words: pa.Array) -> npt.NDArray[np.uint64]:
    """64 bits of each word."""
    encoded = words.dictionary_encode()
    distinct = [
        int.from_bytes(blake2b(word, digest_size=8).digest(), "little")
        for word in as_bytes(encoded.dictionary)
    ]
    hashes: npt.NDArray[np.uint64] = np.array(distinct, np.uint64)[np.asarray(encoded.indices)]
    return hashes
