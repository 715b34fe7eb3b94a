"""Which rows of a tile may still be among the nearest, by scores rounded to eight bits.

A rough score is off by no more than a bound that the vectors themselves give (Cauchy-Schwarz on
what rounding took from them), so a row that does not pass cannot reach the floor. What passes is
scored again in float32, pair by pair: how roughly rows were filtered changes no answer.
"""

from collections.abc import Callable, Sized
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from operators.quantize.dots import dots, tensor
from operators.quantize.kernels import Matrix, Rows

_GROUP = 16
"""Rows whose greatest rough score stands for them where a first floor is sought."""
_RUN = 256
"""Rows rounded at once."""
SMALLEST = np.float32(2.0**-100)
"""More than what products of values too small for the hardware's bfloat16 can add up to."""


@dataclass(frozen=True, eq=False)
class Bounds:
    """What is known of (n,) rows' lengths and of what rounding took; NaN where not yet."""

    length: Matrix
    lost: Matrix

    @classmethod
    def unknown(cls, rows: int) -> "Bounds":
        return cls(*(np.full(rows, np.nan, np.float32) for _ in range(2)))

    def cut(self, start: int, stop: int) -> "Bounds":
        """The same memory for rows [start, stop)."""
        return Bounds(self.length[start:stop], self.lost[start:stop])


class Side(Protocol):
    """Queries, or the vectors of a tile, in the form in which they are compared."""

    step: np.float32
    """The least that two different scores of a query differ by; 0 where nothing is known."""

    def __len__(self) -> int: ...

    @property
    def sharp(self) -> bool:
        """Whether a rough score is the score itself."""
        ...

    def cut(self, start: int, stop: int) -> "Side":
        """Vectors [start, stop)."""
        ...

    def rough(self, tile: Any, room: "Room") -> npt.NDArray[Any]:
        """(q, n) rough scores: float32, or the bits of bfloat16 as int16."""
        ...

    def error(self, tile: Any) -> Matrix:
        """(q,) how far a rough score may lie from the score, before it was stored."""
        ...

    def exact(self, tile: Any, query: Rows, row: Rows) -> Matrix:
        """The score of each pair of a query, ascending, and a row of the tile."""
        ...


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

    step = np.float32(0)
    sharp = False

    def __len__(self) -> int:
        return len(self.floats)

    def cut(self, start: int, stop: int) -> "Rounded":
        """Vectors [start, stop)."""
        part = slice(start, stop)
        halves = None if self.halves is None else self.halves[part]
        return Rounded(self.floats[part], halves, self.length[part], self.lost[part])

    def rough(self, tile: "Rounded", room: "Room") -> npt.NDArray[Any]:
        if tile.halves is None:
            return multiplied(tensor(self.floats), tensor(tile.floats), room)
        return multiplied(self.halves, tile.halves, room)

    def error(self, tile: "Rounded") -> Matrix:
        length, lost = tile.length.max(initial=0), tile.lost.max(initial=0)
        summed = np.float32(self.floats.shape[1] * 2.0**-22)
        taken: Matrix = self.lost * length
        taken += (self.length + self.lost) * (lost + summed * length)
        taken *= np.float32(1.0001)
        taken += SMALLEST * (1 + self.length + length)
        return taken

    def exact(self, tile: "Rounded", query: Rows, row: Rows) -> Matrix:
        return dots(self.floats, tile.floats, query, row)


class Room:
    """Memory for the rough scores of one tile, used again for the next."""

    def __init__(self) -> None:
        self._scores: Any = None
        self._marks = np.empty((0, 0), bool)

    def scores(self, shape: tuple[int, int], kind: Any) -> Any:
        """A torch tensor of scores, not set to anything."""
        import torch

        if self._scores is None or tuple(self._scores.shape) != shape or self._scores.dtype != kind:
            self._scores = torch.empty(shape, dtype=kind)
        return self._scores

    def marks(self, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """A matrix of marks, not set to anything."""
        if self._marks.shape != shape:
            self._marks = np.empty(shape, bool)
        return self._marks


def multiplied(queries: Any, tile: Any, room: Room) -> npt.NDArray[Any]:
    """All dot products of two torch tensors' rows: float32, or the bits of bfloat16 as int16."""
    import torch

    found = room.scores((len(queries), len(tile)), tile.dtype)
    torch.mm(queries, tile.T, out=found)
    if tile.dtype == torch.bfloat16:
        found = found.view(torch.int16)
    scores: npt.NDArray[Any] = found.numpy()
    return scores


def rounded(
    floats: Matrix, *, halves: bool, known: Bounds | None = None, each: Callable[..., Any] = map
) -> Rounded:
    """The vectors and the bounds of their rounding; ValueError where one is not finite.

    `known` is completed, and what it has is not found again; `each` maps a function over runs.
    """
    import torch

    bounds = Bounds.unknown(len(floats)) if known is None else known
    short = torch.empty(floats.shape, dtype=torch.bfloat16) if halves else None
    whole = tensor(floats)
    if halves or np.isnan(bounds.length).any():
        list(each(partial(_round, whole, short, bounds), range(0, len(floats), _RUN)))
    if not np.isfinite(bounds.length).all():
        raise ValueError("a stored vector is not finite")
    lost = bounds.lost if halves else np.zeros(len(floats), np.float32)
    return Rounded(floats, short, bounds.length, lost)


def _round(whole: Any, short: Any, bounds: Bounds, start: int) -> None:
    """Round a run of rows and bound what that took: few enough to stay in a core's own cache."""
    import torch

    part = slice(start, start + _RUN)
    floats = whole[part]
    slack = np.float32(1 + floats.shape[1] * 2.0**-22)
    if np.isnan(bounds.length[part]).any():
        bounds.length[part] = torch.linalg.vector_norm(floats, dim=1).numpy() * slack
    if short is None:
        return
    short[part].copy_(floats)
    if np.isnan(bounds.lost[part]).any():
        taken = torch.sub(floats, short[part])
        bounds.lost[part] = torch.linalg.vector_norm(taken, dim=1).numpy() * slack


def passing(queries: Side, tile: Sized, floor: Matrix, k: int, room: Room) -> tuple[Rows, Rows]:
    """(query, row) of every pair that may score above the query's floor, ascending.

    `floor` (q,) is the k-th best score so far, -inf where there are not yet k; then only rows
    pass that may be among the k best of the tile. A floor of which a score's `step` is known is
    passed by what may reach the next score.
    """
    scores = queries.rough(tile, room)
    error = queries.error(tile)
    unknown = np.isneginf(floor).any()
    least = floor + queries.step
    if unknown:
        scores = _ordered(scores)
        if len(tile) >= k:
            least = np.maximum(least, _kth(scores, k) - error)
    level = _levels(least - error, scores.dtype, sharp=queries.sharp)
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


def _levels(least: Matrix, kind: Any, *, sharp: bool) -> npt.NDArray[Any]:
    """The least rough score, in its ordered form, of what may reach the least score.

    Rounding to bfloat16 keeps order, so the score is rounded too, and lowered by one step unless
    the rough scores are sharp.
    """
    if kind == np.float32:
        return least
    bits = (np.ascontiguousarray(least).view(np.int32) >> 16).astype(np.int16)
    return _ordered(bits) - np.int16(0 if sharp else 2)


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
