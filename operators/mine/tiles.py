"""Blocks of stored vectors cut to tiles, and a tile in the form that its search multiplies."""

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.mine.rough import Bounds, Side, rounded
from operators.mine.signs import FEW, signed
from operators.mine.sums import CodedTile, tables
from operators.quantize.adc import OfWords, of_words
from operators.quantize.kernels import BitVectors, Matrix, Vectors, packed_signs

_COUNTED = 8
"""Tiles whose bits are counted, or whose codes are looked up, hold so many times more rows."""


def tiles(
    blocks: Iterable[Vectors], rows: int, queries: int
) -> Iterator[tuple[Vectors, npt.NDArray[Any]]]:
    """What the blocks hold in order, cut and joined to tiles, each with a block that it is of.

    A tile is floats, of bits their packed bytes, of codewords under few queries their codes.
    """
    held: list[npt.NDArray[Any]] = []
    size, last = 0, None
    for block in blocks:
        words = _words(block, queries)
        counted = isinstance(block, BitVectors) and queries <= FEW
        most = rows * _COUNTED if counted or words is not None else rows
        for start in range(0, len(block), most):
            stored = _stored(block, words, start, min(start + most, len(block)))
            if last is not None and size + len(stored) > most:
                yield last, held[0] if len(held) == 1 else np.concatenate(held)
                held, size = [], 0
            held.append(stored)
            size, last = size + len(stored), block
    if last is not None:
        yield last, held[0] if len(held) == 1 else np.concatenate(held)


def asked_of(block: Vectors, queries: Matrix, *, halves: bool) -> Side:
    """The queries as they are compared with the tiles of a block."""
    if isinstance(block, BitVectors):
        packed = packed_signs(queries, block.center)
        return _side(block, packed, len(queries), halves=halves)
    words = _words(block, len(queries))
    if words is not None:
        return tables(block.asked(queries), words)
    return _side(block, block.asked(queries), len(queries), halves=halves)


def tile_of(
    block: Vectors,
    stored: npt.NDArray[Any],
    queries: int,
    *,
    halves: bool,
    known: Bounds | None = None,
    each: Callable[..., Any] = map,
) -> Sized:
    """A tile of a block in the form that is fast for so many queries."""
    words = _words(block, queries)
    if words is not None:
        return CodedTile(stored, words)
    return _side(block, stored, queries, halves=halves, known=known, each=each)


def _side(
    block: Vectors,
    stored: npt.NDArray[Any],
    queries: int,
    *,
    halves: bool,
    known: Bounds | None = None,
    each: Callable[..., Any] = map,
) -> Side:
    """Queries or a tile; halves, or signs instead of counted bits, pay for more than a few."""
    many = queries > FEW
    if isinstance(block, BitVectors):
        return signed(stored, block.dim, halves=halves, many=many)
    return rounded(stored, halves=halves and many, known=known, each=each)


def _words(block: Vectors, queries: int) -> OfWords | None:
    """Codes and codewords, where table sums are faster than decoding: for few queries."""
    return of_words(block) if queries <= FEW else None


def _stored(block: Vectors, words: OfWords | None, start: int, stop: int) -> npt.NDArray[Any]:
    if isinstance(block, BitVectors):
        return block.packed[start:stop]
    return block.values(start, stop) if words is None else words.codes[start:stop]
