"""Which rows of a tile may still be among the nearest, by scores rounded to eight bits.

A rough score is off by no more than a bound that the vectors themselves give (Cauchy-Schwarz on
what rounding took from them), so a row that does not pass cannot reach the floor. What passes is
scored again in float32, pair by pair: how roughly rows were filtered changes no answer.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.quantize.dots import tensor
from operators.quantize.kernels import Matrix, Rows

_GROUP = 16
"""Rows whose greatest rough score stands for them where a first floor is sought."""
_SMALLEST = np.float32(2.0**-100)
"""More than what products of values too small for the hardware's bfloat16 can add up to."""


@dataclass(frozen=True, eq=False)
class Rounded:
    """(n, dim) floats, their bfloat16 form where the machine multiplies that, and what it lost."""

    floats: Matrix
    halves: Any
    """A torch tensor; None where float32 is multiplied as it is."""
    length: Matrix
    """(n,) upper bounds of the vectors' lengths."""
    lost: Matrix
    """(n,) upper bounds of the lengths of what rounding took."""

    def __len__(self) -> int:
        return len(self.floats)

    def cut(self, start: int, stop: int) -> "Rounded":
        """Vectors [start, stop)."""
        part = slice(start, stop)
        halves = None if self.halves is None else self.halves[part]
        return Rounded(self.floats[part], halves, self.length[part], self.lost[part])


class Room:
    """Memory for the rough scores of one tile, used again for the next."""

    def __init__(self) -> None:
        self._scores: Any = None
        self._marks = np.empty((0, 0), bool)

    def scores(self, queries: Rounded, tile: Rounded) -> npt.NDArray[Any]:
        """(q, n) rough scores: float32, or the bits of bfloat16 as int16."""
        if tile.halves is None:
            found: Matrix = queries.floats @ tile.floats.T
            return found
        import torch

        shape = (len(queries), len(tile))
        if self._scores is None or tuple(self._scores.shape) != shape:
            self._scores = torch.empty(shape, dtype=torch.bfloat16)
        torch.mm(queries.halves, tile.halves.T, out=self._scores)
        bits: npt.NDArray[Any] = self._scores.view(torch.int16).numpy()
        return bits

    def marks(self, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """A matrix of marks, not set to anything."""
        if self._marks.shape != shape:
            self._marks = np.empty(shape, bool)
        return self._marks


def rounded(floats: Matrix, *, halves: bool) -> Rounded:
    """The vectors and the bounds of their rounding; ValueError where one is not finite."""
    slack = np.float32(1 + floats.shape[1] * 2.0**-22)
    length = _lengths(floats) * slack
    if not np.isfinite(length).all():
        raise ValueError("a stored vector is not finite")
    if not halves:
        return Rounded(floats, None, length, np.zeros_like(length))
    import torch

    short = tensor(floats).bfloat16()
    lost = short.to(torch.float32).numpy()
    lost -= floats
    return Rounded(floats, short, length, _lengths(lost) * slack)


def passing(
    queries: Rounded, tile: Rounded, floor: Matrix, k: int, room: Room
) -> tuple[Rows, Rows]:
    """(query, row) of every pair that may score above the query's floor, ascending.

    `floor` (q,) is the k-th best score so far, -inf where there are not yet k; then only rows
    pass that may be among the k best of the tile.
    """
    scores = room.scores(queries, tile)
    error = _error(queries, tile)
    unknown = np.isneginf(floor).any()
    if unknown:
        scores = _ordered(scores)
        if len(tile) >= k:
            floor = np.maximum(floor, _kth(scores, k) - error)
    level = _levels(floor - error, scores.dtype)
    if not unknown and (level < 0).any():
        scores = _ordered(scores)
    marks = np.greater_equal(scores, level[:, None], out=room.marks(scores.shape))
    query, row = np.divmod(_where(marks), len(tile))
    return query, row


@cache
def multiplies_halves() -> bool:
    """Whether this machine multiplies bfloat16 in hardware."""
    import torch

    tests = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, test, bool)() for test in tests)


def _lengths(floats: Matrix) -> Matrix:
    found: Matrix = np.sqrt(np.einsum("nd,nd->n", floats, floats))
    return found


def _error(queries: Rounded, tile: Rounded) -> Matrix:
    """How far a rough score may lie from the float32 score, for each query."""
    length, lost = tile.length.max(initial=0), tile.lost.max(initial=0)
    summed = np.float32(queries.floats.shape[1] * 2.0**-22)
    taken: Matrix = queries.lost * length
    taken += (queries.length + queries.lost) * (lost + summed * length)
    taken *= np.float32(1.0001)
    taken += _SMALLEST * (1 + queries.length + length)
    return taken


def _kth(scores: npt.NDArray[Any], k: int) -> Matrix:
    """A lower bound of each query's k-th largest rough score, before it was rounded."""
    groups = scores.shape[1] // _GROUP
    if groups >= 2 * k:
        grouped = scores[:, : groups * _GROUP].reshape(len(scores), _GROUP, groups)
        scores = grouped.max(axis=1)
    place = scores.shape[1] - k
    found: npt.NDArray[Any] = np.partition(scores, place, axis=1)[:, place]
    if found.dtype != np.float32:
        found = (_ordered(found).astype(np.int32) << 16).view(np.float32)
        found -= np.abs(found) * np.float32(2.0**-8)
    return found


def _levels(floor: Matrix, kind: Any) -> npt.NDArray[Any]:
    """The least rough score, in its ordered form, of what may reach the floor.

    Rounding to bfloat16 keeps order, so the floor is rounded too, and lowered by one step.
    """
    if kind == np.float32:
        return floor
    bits = (np.ascontiguousarray(floor).view(np.int32) >> 16).astype(np.int16)
    return _ordered(bits) - np.int16(2)


def _ordered(scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Bits of bfloat16 as integers in the order of their values; floats as they are."""
    if scores.dtype == np.float32:
        return scores
    ordered: npt.NDArray[Any] = scores ^ ((scores >> 15) & np.int16(0x7FFF))
    return ordered


def _where(marks: npt.NDArray[np.bool_]) -> Rows:
    """Flat places of the marks; eight at once are skipped where none is set."""
    flat = marks.reshape(-1)
    if len(flat) % 8:
        return np.flatnonzero(flat)
    words = flat.view(np.uint64)
    some = np.flatnonzero(words != 0)
    word, place = np.nonzero(words[some].view(np.bool_).reshape(-1, 8))
    return some[word] * 8 + place
