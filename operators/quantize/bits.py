"""Packed bits compared: counted word by word for few queries, multiplied as signs for many."""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Packed = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]

_AT_ONCE = 8192
"""Rows compared at once: a word of each is 64 KiB, all words of 384 bits fit a core's own cache."""


def words(packed: Packed) -> Words:
    """Packed bytes as rows of 64-bit words, filled up with zero bits."""
    rows, width = packed.shape
    if width % 8 == 0:
        return np.ascontiguousarray(packed).view(np.uint64)
    padded = np.zeros((rows, -(-width // 8) * 8), np.uint8)
    padded[:, :width] = packed
    return padded.view(np.uint64)


def counted(asked: Words, stored: Words, dim: int) -> Matrix:
    """The (q, n) scores dim - 2 x Hamming distance of all pairs."""
    found = np.empty((len(asked), len(stored)), np.float32)
    for start in range(0, len(stored), _AT_ONCE):
        columns = np.ascontiguousarray(stored[start : start + _AT_ONCE].T)
        differing = np.empty(columns.shape[1], np.uint16)
        for query, scores in zip(asked, found, strict=True):
            differing[:] = 0
            for word, column in zip(query, columns, strict=True):
                differing += np.bitwise_count(column ^ word)
            np.multiply(differing, np.float32(-2), out=scores[start : start + _AT_ONCE])
    found += np.float32(dim)
    return found


def counted_pairs(asked: Words, stored: Words, query: Rows, row: Rows, dim: int) -> Matrix:
    """The same score for chosen pairs."""
    differing = np.zeros(len(query), np.int32)
    for place in range(asked.shape[1]):
        differing += np.bitwise_count(asked[query, place] ^ stored[row, place])
    found: Matrix = (dim - 2 * differing).astype(np.float32)
    return found


def signs(packed: Packed, dim: int) -> Any:
    """Bits as a (n, dim) torch tensor of bfloat16 1 and -1."""
    import torch

    whole = np.take(_signs_of_bytes(), packed).view(np.int16)
    return torch.from_numpy(whole).view(torch.bfloat16)[:, :dim]


@cache
def _signs_of_bytes() -> npt.NDArray[Any]:
    """For every byte its eight signs as bfloat16: 16 bytes that are copied as one number."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    halves = np.where(bits == 1, np.int16(0x3F80), np.int16(0x3F80 - 0x8000))
    return np.ascontiguousarray(halves.astype(np.int16)).view(np.complex128).ravel()
