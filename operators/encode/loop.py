"""The one loop: a whole unit in, packed to a token budget, vectors out in the order of the rows."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from operators.arrays import MOST_VALUES
from operators.encode import vocabulary
from operators.encode.budget import Rows, Shapes, pack, rows_a_batch
from operators.encode.device import check_there
from operators.encode.flat import Flat, flattened, sent
from operators.errors import ModelError, RowError
from operators.measures import MODEL_TOKENS, PADDED_TOKENS, measure

_CALLS_IN_FLIGHT = 2
Numbers = npt.NDArray[np.int64]
_SHORT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")


class Forward(Protocol):
    """One forward pass: ids and mask (rows, tokens), prompt lengths (rows), to float32 vectors."""

    @property
    def model(self) -> str: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def dim(self) -> int: ...
    @property
    def pad(self) -> int: ...
    def __call__(self, ids: Tensor, mask: Tensor | None, prompts: Tensor | None) -> Tensor: ...


@dataclass(frozen=True)
class Ragged:
    """Rows of token ids end to end; `prompts` are leading tokens the pooling leaves out."""

    ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int32]
    prompts: npt.NDArray[np.int32] | None = None

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        return np.diff(self.offsets)


@dataclass
class Loop:
    """Encodes units; `budget` is halved for good whenever a batch does not fit the memory."""

    forward: Forward
    budget: int
    flat: Callable[[Flat, Tensor | None], Tensor] | None = None
    """The same vectors of rows that lie end to end; None: rows are padded to one length."""
    shapes: Shapes | None = None
    """Batches have these shapes, filled up with rows whose vectors are dropped."""

    def encode_unit(self, rows: Ragged) -> npt.NDArray[np.float32]:
        """The (n, dim) vectors of n rows; RowError when a single row cannot be encoded."""
        vectors = room(len(rows.lengths), self.forward.dim, self.forward.model)
        for chosen, found in self.each(rows):
            vectors[chosen] = found
        return vectors

    @torch.inference_mode()
    def each(self, rows: Ragged) -> Iterator[tuple[Rows, npt.NDArray[np.float32]]]:
        """What each batch gives, with the rows it is of; every row once, RowError as above.

        DeviceError where the device is lost.
        """
        # on CUDA an id that is not there would cost the device
        vocabulary.check(rows.ids, vocabulary.size(self.forward), self.forward.model)
        todo = deque(pack(rows.lengths, self.budget, self.shapes))
        flight: deque[_Call] = deque()
        while todo or flight:
            fill = bool(todo) and len(flight) < _CALLS_IN_FLIGHT
            current = todo[0] if fill else flight[0].rows
            try:
                if fill:
                    flight.append(self._start(rows, current))
                    todo.popleft()
                    continue
                found = flight[0].vectors()
            except RuntimeError as error:
                if not _is_memory(error):
                    check_there(self.forward.device, error)
                    raise
                self._shrink(rows.lengths[current], error)
                left = np.concatenate([*(call.rows for call in flight), *todo])
                flight.clear()
                again = pack(rows.lengths[left], self.budget, self.shapes)
                todo = deque(left[batch] for batch in again)
                continue
            flight.popleft()
            yield current, found

    def _start(self, rows: Ragged, chosen: Rows) -> "_Call":
        """Queue one batch; on CUDA it returns before the device has finished."""
        device = self.forward.device
        prompts = None
        if rows.prompts is not None:
            prompts = sent(torch.from_numpy(rows.prompts[chosen]), device)
        measure(MODEL_TOKENS, int(rows.lengths[chosen].sum()))
        if self.flat is not None and rows.lengths[chosen].all():
            flat = flattened(rows.ids, rows.offsets, chosen)
            measure(PADDED_TOKENS, flat.ids.numel())
            return _queued(chosen, self.flat(flat.to(device), prompts))
        ids, mask = padded(rows, chosen, self.forward.pad)
        if self.shapes is not None:
            ids, mask = self._filled(ids, mask)
            if prompts is not None:
                prompts = torch.nn.functional.pad(prompts, (0, len(ids) - len(prompts)))
        measure(PADDED_TOKENS, ids.size)
        whole = self.shapes is None and mask.all()
        given = None if whole else sent(torch.from_numpy(mask), device)
        result = self.forward(sent(torch.from_numpy(ids), device), given, prompts)
        return _queued(chosen, result[: len(chosen)])

    def _filled(self, ids: Numbers, mask: Numbers) -> tuple[Numbers, Numbers]:
        """The matrices in the shape of a whole batch, its last rows of one token each."""
        assert self.shapes is not None
        longest = ids.shape[1]
        rows = rows_a_batch(longest, self.budget, self.shapes)
        room = (0, rows - len(ids)), (0, self.shapes.longest(longest) - longest)
        mask = np.pad(mask, room)
        mask[len(ids) :, 0] = 1
        return np.pad(ids, room, constant_values=self.forward.pad), mask

    def _shrink(self, lengths: npt.NDArray[np.int32], error: RuntimeError) -> None:
        longest = int(lengths.max())
        if len(lengths) == 1:
            raise RowError(
                self.forward.model,
                f"a row of {longest} tokens does not fit the memory of {self.forward.device}; "
                "lower max_length",
            ) from error
        self.budget = max(min(self.budget, len(lengths) * longest) // 2, 1)
        if self.forward.device.type == "cuda":
            torch.cuda.empty_cache()


@dataclass(frozen=True)
class _Call:
    rows: Rows
    result: Tensor
    ready: Any

    def vectors(self) -> npt.NDArray[np.float32]:
        if self.ready is not None:
            self.ready.synchronize()
        found: npt.NDArray[np.float32] = self.result.numpy()
        return found


def _queued(chosen: Rows, result: Tensor) -> _Call:
    """The result on its way to the host."""
    if result.device.type != "cuda":
        return _Call(chosen, result.cpu(), None)
    host = torch.empty(result.shape, dtype=result.dtype, pin_memory=True)
    host.copy_(result, non_blocking=True)
    stream = torch.cuda.current_stream(result.device)  # may not be the current one
    return _Call(chosen, host, stream.record_event())


def room(count: int, dim: int, model: str) -> npt.NDArray[np.float32]:
    """Zeros for so many vectors of a unit; ModelError where they are more than a column holds."""
    if count * dim > MOST_VALUES:
        problem = f"a unit has {count:,} vectors of {dim:,} values, more than a column holds"
        raise ModelError(model, f"{problem}; lower read's unit_bytes")
    return np.zeros((count, dim), np.float32)


def padded(rows: Ragged, chosen: Rows, pad: int) -> tuple[Numbers, Numbers]:
    """The ids and mask of the chosen rows as (rows, longest) matrices, padded on the right."""
    lengths = rows.lengths[chosen]
    column = np.arange(max(int(lengths.max()), 1))
    mask = column < lengths[:, None]
    ids = np.full(mask.shape, pad, np.int64)
    places = rows.offsets[chosen][:, None] + column
    ids[mask] = rows.ids[places[mask]]
    return ids, mask.astype(np.int64)


def _is_memory(error: RuntimeError) -> bool:
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(
        phrase in text for phrase in _SHORT_OF_MEMORY
    )
