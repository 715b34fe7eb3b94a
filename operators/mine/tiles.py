"""Blocks of stored vectors cut to tiles, and a tile in the form that its search multiplies."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.mine.rough import Bounds, Side, rounded
from operators.mine.signs import FEW, signed
from operators.quantize.kernels import BitVectors, Matrix, Vectors, packed_signs

_COUNTED = 8
"""Tiles whose bits are counted hold so many times more rows."""


def tiles(
    blocks: Iterable[Vectors], rows: int, queries: int
) -> Iterator[tuple[Vectors, npt.NDArray[Any]]]:
    """What the blocks hold in order, cut and joined to tiles, each with a block that it is of.

    A tile is floats, or of bits their packed bytes.
    """
    held: list[npt.NDArray[Any]] = []
    size, last = 0, None
    for block in blocks:
        counted = isinstance(block, BitVectors) and queries <= FEW
        most = rows * _COUNTED if counted else rows
        for start in range(0, len(block), most):
            stored = _stored(block, start, min(start + most, len(block)))
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
        return side(block, packed, len(queries), halves=halves)
    return side(block, block.asked(queries), len(queries), halves=halves)


def side(
    block: Vectors,
    stored: npt.NDArray[Any],
    queries: int,
    *,
    halves: bool,
    known: Bounds | None = None,
    each: Callable[..., Any] = map,
) -> Side:
    """The queries, or a tile of a block, in the form that is fast for so many queries.

    Multiplying halves, or signs instead of counting bits, pays when there are more than a few.
    """
    many = queries > FEW
    if isinstance(block, BitVectors):
        return signed(stored, block.dim, halves=halves, many=many)
    return rounded(stored, halves=halves and many, known=known, each=each)


def _stored(block: Vectors, start: int, stop: int) -> npt.NDArray[Any]:
    if isinstance(block, BitVectors):
        return block.packed[start:stop]
    return block.values(start, stop)
