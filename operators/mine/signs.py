"""Vectors of signs as a tile that is searched: scores are whole numbers, so few need a second look.

Two scores of one query differ by an even number, as every bit that differs costs two.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.mine.rough import Room, multiplied
from operators.quantize.bits import Packed, Words, counted, counted_pairs, signs, words
from operators.quantize.kernels import Matrix, Rows

FEW = 32
"""Up to so many queries, counting bits is faster than multiplying signs."""
_EXACT = 512
"""Even numbers up to it are exact in bfloat16, odd ones up to its half."""


@dataclass(frozen=True, eq=False)
class Signs:
    """(n, dim) signs as words that are counted and, for many queries, as factors."""

    words: Words
    dim: int
    factors: Any
    """Torch tensor of 1 and -1; None where bits are counted."""

    step = np.float32(2)

    def __len__(self) -> int:
        return len(self.words)

    def cut(self, start: int, stop: int) -> "Signs":
        """Vectors [start, stop)."""
        part = slice(start, stop)
        factors = None if self.factors is None else self.factors[part]
        return Signs(self.words[part], self.dim, factors)

    def rough(self, tile: "Signs", room: Room) -> npt.NDArray[Any]:
        if tile.factors is None or self.factors is None:
            return counted(self.words, tile.words, self.dim)
        return multiplied(self.factors, tile.factors, room)

    def error(self, tile: "Signs") -> Matrix:
        return np.zeros(len(self), np.float32)

    @property
    def sharp(self) -> bool:
        """Whether a rough score is the score itself."""
        return self.factors is None or self.dim <= _EXACT // 2 * (1 + (self.dim % 2 == 0))

    def exact(self, tile: "Signs", query: Rows, row: Rows) -> Matrix:
        return counted_pairs(self.words, tile.words, query, row, self.dim)


def signed(packed: Packed, dim: int, *, halves: bool, many: bool) -> Signs:
    """Packed bits as a tile; `halves` where bfloat16 may be multiplied."""
    import torch

    factors = signs(packed, dim) if many else None
    if factors is not None and not halves:
        factors = factors.to(torch.float32)
    return Signs(words(packed), dim, factors)
