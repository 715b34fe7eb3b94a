"""States of whole documents, read in windows where they are long, and their passages' vectors."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from operators import columns
from operators.encode.budget import pack
from operators.encode.embedder import Backend, Embedder
from operators.encode.loop import Loop, Ragged, room
from operators.encode.pooling import places
from operators.errors import ModelError

_STATES = 1 << 28
"""Bytes of states in memory at once; a document that has more is alone."""
Matrix = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class States:
    """Maps ids and mask to (rows, tokens, width) float32 states."""

    network: Embedder
    dim: int

    @property
    def model(self) -> str:
        return self.network.model

    @property
    def device(self) -> torch.device:
        return self.network.device

    @property
    def pad(self) -> int:
        return self.network.pad

    @property
    def backend(self) -> Backend:
        return self.network.backend

    def __call__(self, ids: Tensor, mask: Tensor | None, prompts: Tensor | None) -> Tensor:
        return self.network.backend.states(ids, mask).float()


class Spans(NamedTuple):
    """Passages of a unit, in their order: which row each lies in, and its tokens [start, stop)."""

    row: Numbers
    start: Numbers
    stop: Numbers
    first: Numbers
    """Of each row, not passage, the first token of its text; before it are special ones."""
    end: Numbers
    """Of each row where the tokens of its text end."""

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        return (self.stop - self.start).astype(np.int32)


class Window(NamedTuple):
    """A part of a row that is read at once, and the tokens whose states are taken from it."""

    row: int
    start: int
    stop: int
    keep: int
    kept: int


def spans_of(rows: Ragged, table: pa.Table) -> Spans:
    """The passages that a table's `spans` name; those at the ends have the special tokens."""
    lists: Any = table[columns.SPANS]
    row = pc.list_parent_indices(lists).to_numpy().astype(np.int64)
    flat: Any = pc.list_flatten(lists)
    start, stop = (
        pc.struct_field(flat, [field.name]).to_numpy().astype(np.int64)
        for field in (columns.TOKEN_START, columns.TOKEN_STOP)
    )
    lengths = rows.lengths.astype(np.int64)
    first, end = lengths.copy(), np.zeros_like(lengths)
    np.minimum.at(first, row, start)
    np.maximum.at(end, row, stop)
    outer = np.where(stop == end[row], lengths[row], stop)
    return Spans(row, np.where(start == first[row], 0, start), outer, first, end)


@dataclass(frozen=True)
class Pooler:
    """Reads rows and pools the passages in them."""

    network: Embedder
    loop: Loop
    window: int
    overlap: int

    @torch.inference_mode()
    def vectors(self, rows: Ragged, spans: Spans) -> Matrix:
        """(passages, dim); ModelError where a window leaves no room for a text."""
        out = room(len(spans.row), self.network.dim, self.network.model)
        most = _STATES // (4 * self.loop.forward.dim)
        for low, high in _groups(rows.lengths, most):
            states = self._states(rows, spans, range(low, high))
            chosen = np.flatnonzero((spans.row >= low) & (spans.row < high))
            for batch in pack(spans.lengths[chosen], self.loop.budget):
                few = chosen[batch]
                out[few] = self._pooled(states, rows, spans, few, int(rows.offsets[low]))
        return out

    def _states(self, rows: Ragged, spans: Spans, some: range) -> Matrix:
        """The states of some rows' tokens, end to end."""
        base = rows.offsets.astype(np.int64) - rows.offsets[some.start]
        states = np.zeros((int(base[some.stop]), self.loop.forward.dim), np.float32)
        windows = [window for row in some for window in self._windows(rows, spans, row)]
        for batch, found in self.loop.each(_framed(rows, spans, windows)):
            for window, own in zip((windows[number] for number in batch), found, strict=True):
                shift, at = spans.first[window.row] - window.start, base[window.row]
                states[at + window.keep : at + window.kept] = own[
                    window.keep + shift : window.kept + shift
                ]
        return states

    def _windows(self, rows: Ragged, spans: Spans, row: int) -> Iterator[Window]:
        length, first, end = int(rows.lengths[row]), int(spans.first[row]), int(spans.end[row])
        if length <= self.window:
            yield Window(row, first, end, 0, length)
            return
        room = self.window - (length - end) - first
        if room < 1:
            problem = f"{self.window} tokens leave no room for a text after its prompt"
            raise ModelError(self.network.model, problem)
        left = end - first - room
        count = 1 - (-left // (room - min(self.overlap, room // 2)))
        starts = first + np.linspace(0, left, count).round().astype(np.int64)
        marks = [0, *((starts[1:] + starts[:-1] + room) // 2), length]
        for start, keep, kept in zip(starts, marks, marks[1:], strict=False):
            yield Window(row, int(start), int(start) + room, int(keep), int(kept))

    def _pooled(
        self, states: Matrix, rows: Ragged, spans: Spans, chosen: Numbers, base: int
    ) -> Matrix:
        lengths = spans.lengths[chosen]
        column = np.arange(max(int(lengths.max()), 1))
        mask = column < lengths[:, None]
        at = rows.offsets[spans.row[chosen]].astype(np.int64) - base + spans.start[chosen]
        own = torch.from_numpy(states[np.where(mask, at[:, None] + column, 0)])
        prompts = None
        if rows.prompts is not None:
            left_out = np.where(spans.start[chosen] == 0, rows.prompts[spans.row[chosen]], 0)
            prompts = torch.from_numpy(left_out)
        place = places(torch.from_numpy(mask.astype(np.int64)), prompts)
        device = self.network.device
        found: Matrix = self.network.pooled(own.to(device), place.to(device)).cpu().numpy()
        return found


def _framed(rows: Ragged, spans: Spans, windows: list[Window]) -> Ragged:
    """The ids of windows, each between the special tokens of its row."""
    parts: list[npt.NDArray[np.int32]] = [np.zeros(0, np.int32)]
    lengths = []
    for window in windows:
        ids = rows.ids[rows.offsets[window.row] : rows.offsets[window.row + 1]]
        first, end = spans.first[window.row], spans.end[window.row]
        framed = [ids[:first], ids[window.start : window.stop], ids[end:]]
        parts += framed
        lengths.append(sum(map(len, framed)))
    return Ragged(np.concatenate(parts), np.array([0, *np.cumsum(lengths)], np.int32))


def _groups(lengths: npt.NDArray[np.int32], most: int) -> Iterator[tuple[int, int]]:
    """Runs [start, stop) of rows of at most that many tokens, a longer row alone."""
    start = size = 0
    for row, length in enumerate(map(int, lengths)):
        if size and size + length > most:
            yield start, row
            start, size = row, 0
        size += length
    if start < len(lengths):
        yield start, len(lengths)
