"""The loop over a unit: order, packing, memory."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from operators.encode.budget import Shapes, pack, padded_tokens
from operators.encode.loop import Loop, Ragged, padded
from operators.errors import DeviceError, ModelError, RowError
from operators.measures import MODEL_TOKENS, PADDED_TOKENS, measured
from tests.cuda_devices import CUDA

CPU = torch.device("cpu")


@dataclass
class Sums:
    """A forward pass that is easy to check: sum and number of a row's tokens, its prompt."""

    memory: int = 10**9
    error: type[RuntimeError] = torch.OutOfMemoryError
    calls: list[tuple[int, int]] = field(default_factory=list)
    model: str = "sums"
    device: torch.device = CPU
    dim: int = 3
    pad: int = 7

    def __call__(self, ids, mask, prompts):
        self.calls.append(tuple(ids.shape))
        if ids.numel() > self.memory:
            raise self.error("this would be out of memory")
        if mask is None:
            mask = torch.ones_like(ids)
        assert (ids[mask == 0] == self.pad).all()
        ends = torch.zeros_like(ids[:, 0]) if prompts is None else prompts
        return torch.stack([(ids * mask).sum(1), mask.sum(1), ends], 1).float()


def ragged(rows, prompts=None):
    lengths = [len(row) for row in rows]
    ids = np.concatenate([np.zeros(0, np.int32), *[np.array(row, np.int32) for row in rows]])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return Ragged(ids.astype(np.int32), offsets, prompts)


def expected(rows, prompts=None):
    ends = [0] * len(rows) if prompts is None else prompts
    lines = [[sum(row), len(row), end] for row, end in zip(rows, ends, strict=True)]
    return np.array(lines, np.float32).reshape(len(rows), 3)


ROWS = st.lists(st.lists(st.integers(0, 99), max_size=12), max_size=20)


@given(ROWS, st.integers(1, 60))
def test_vectors_come_in_the_order_of_the_rows(rows, budget):
    found = Loop(Sums(), budget).encode_unit(ragged(rows))
    np.testing.assert_array_equal(found, expected(rows))
    assert found.dtype == np.float32


@given(ROWS, st.integers(1, 60))
def test_prompt_lengths_travel_with_their_rows(rows, budget):
    prompts = np.arange(len(rows), dtype=np.int32)
    found = Loop(Sums(), budget).encode_unit(ragged(rows, prompts))
    np.testing.assert_array_equal(found, expected(rows, prompts))


@given(ROWS, st.integers(1, 60), st.integers(1, 5))
def test_rounded_shapes_change_no_vector(rows, budget, step):
    prompts = np.arange(len(rows), dtype=np.int32)
    forward = Sums()
    loop = Loop(forward, budget, shapes=Shapes(step, 12))
    np.testing.assert_array_equal(loop.encode_unit(ragged(rows, prompts)), expected(rows, prompts))
    assert all(shape == (max(budget // shape[1], 1), shape[1]) for shape in forward.calls)
    assert all(length % step == 0 or length == 12 for _, length in forward.calls)


@given(ROWS, st.integers(12, 30), st.integers(30, 200))
def test_too_large_a_budget_is_halved_and_no_row_is_lost(rows, memory, budget):
    loop = Loop(Sums(memory), budget)
    np.testing.assert_array_equal(loop.encode_unit(ragged(rows)), expected(rows))
    assert loop.budget <= budget


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_the_smaller_budget_is_kept_for_the_next_unit(error):
    forward = Sums(memory=20, error=error)
    loop = Loop(forward, 64)
    unit = ragged([[1] * 4] * 16)
    loop.encode_unit(unit)
    assert loop.budget == 16
    forward.calls.clear()
    loop.encode_unit(unit)
    assert forward.calls == [(4, 4)] * 4


def test_a_long_row_that_fits_is_not_blamed_for_the_short_ones_that_do_not():
    rows = [[1] * 10, *[[2]] * 15]
    found = Loop(Sums(memory=12), 15).encode_unit(ragged(rows))
    np.testing.assert_array_equal(found, expected(rows))


def test_a_row_that_does_not_fit_alone_is_an_error_with_its_length():
    with pytest.raises(RowError, match="a row of 9 tokens does not fit the memory of cpu"):
        Loop(Sums(memory=8), 64).encode_unit(ragged([[1] * 9, [1]]))


def test_vectors_that_no_column_holds_are_refused_before_a_row_is_encoded():
    forward = Sums(dim=1 << 20)
    rows = ragged([[1]] * (1 << 11))
    with pytest.raises(ModelError, match="2,048 vectors of 1,048,576 values, more than a column"):
        Loop(forward, 64).encode_unit(rows)
    assert not forward.calls


def test_another_error_is_not_taken_for_memory():
    class Broken(Sums):
        def __call__(self, ids, mask, prompts):
            raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        Loop(Broken(), 64).encode_unit(ragged([[1]]))


@pytest.mark.skipif(torch.cuda.is_available(), reason="its CUDA device answers")
def test_an_error_on_a_device_that_answers_no_more_is_that_of_the_device():
    with pytest.raises(DeviceError, match="device cuda: lost to this process"):
        Loop(Sums(device=torch.device("cuda")), 64).encode_unit(ragged([[1]]))


class Beyond(Sums):
    """Looks up a row that a table has not."""

    def __call__(self, ids, mask, prompts):
        return torch.zeros(2, 3, device=ids.device)[ids[:, 0]]


def lose_device():
    with pytest.raises(DeviceError, match="lost to this process"):
        Loop(Beyond(device=torch.device("cuda", 0)), 64).encode_unit(ragged([[9], [1]]))
    os._exit(0)  # Python's own end would ask CUDA again


@pytest.mark.parametrize("device", CUDA[:1])
def test_a_fault_in_a_kernel_loses_the_device(device):
    code = "from tests.operators.encode import test_loop; test_loop.lose_device()"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=True)


def test_padding_is_on_the_right():
    ids, mask = padded(ragged([[1, 2], [3], [4, 5, 6]]), np.array([2, 1]), 0)
    assert ids.tolist() == [[4, 5, 6], [3, 0, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


class Late(Sums):
    """Its results are there some milliseconds after it has returned."""

    def __call__(self, ids, mask, prompts):
        found = super().__call__(ids, mask, prompts)
        with torch.cuda.device(self.device):
            torch.cuda._sleep(10**7)  # cycles
        return found.clone()


@pytest.mark.parametrize("device", CUDA)
def test_two_calls_in_flight_on_a_gpu_give_the_same_rows(device):
    rows = [[n] * (n % 9) for n in range(200)]
    found = Loop(Late(device=device), 64).encode_unit(ragged(rows))
    np.testing.assert_array_equal(found, expected(rows))


class Hungry(Sums):
    """Takes a twentieth of a GPU's memory for each token."""

    def __call__(self, ids, mask, prompts):
        _, whole = torch.cuda.mem_get_info(self.device)
        torch.empty(ids.numel() * whole // 20, dtype=torch.uint8, device=self.device)
        return super().__call__(ids, mask, prompts)


@pytest.mark.parametrize("device", CUDA)
def test_what_does_not_fit_a_gpu_is_tried_in_smaller_batches(device):
    rows = [[n] * (1 + n % 3) for n in range(60)]
    loop = Loop(Hungry(device=device), 64)
    np.testing.assert_array_equal(loop.encode_unit(ragged(rows)), expected(rows))
    assert loop.budget < 20


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 40))
def test_the_loop_measures_what_went_through_the_model_with_and_without_padding(lengths, budget):
    rows = ragged([[1] * length for length in lengths])
    with measured() as found:
        Loop(Sums(), budget).encode_unit(rows)
    batches = pack(rows.lengths, budget)
    assert found[MODEL_TOKENS] == sum(lengths)
    assert found[PADDED_TOKENS] == padded_tokens(rows.lengths, batches) >= sum(lengths)
