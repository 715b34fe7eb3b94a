import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from operators.quantize import bits as module
from operators.quantize.bits import counted, counted_pairs, signs, words


def packed(seed: int, rows: int, dim: int) -> np.ndarray:
    return np.packbits(np.random.default_rng(seed).integers(0, 2, (rows, dim)), axis=1)


@given(st.integers(0, 99), st.integers(0, 30), st.integers(1, 400))
def test_counting_multiplying_and_pairs_agree(seed, rows, dim) -> None:
    asked, stored = packed(seed, 3, dim), packed(seed + 1, rows, dim)
    many = counted(words(asked), words(stored), dim)
    factors = [signs(each, dim).to(torch.float32) for each in (asked, stored)]
    assert np.array_equal(many, (factors[0] @ factors[1].T).numpy())
    query, row = np.divmod(np.arange(3 * rows), max(rows, 1))
    pairs = counted_pairs(words(asked), words(stored), query, row, dim)
    assert np.array_equal(pairs, many.ravel())


@pytest.mark.parametrize("rows", [1, 7, 20])
def test_rows_are_counted_few_at_a_time(rows, monkeypatch) -> None:
    asked, stored = words(packed(1, 3, 100)), words(packed(2, 20, 100))
    expected = counted(asked, stored, 100)
    monkeypatch.setattr(module, "_AT_ONCE", rows)
    assert np.array_equal(counted(asked, stored, 100), expected)


def test_a_set_bit_is_one_and_a_clear_one_is_minus_one() -> None:
    assert signs(np.array([[0b10100000]], np.uint8), 4).tolist() == [[1, -1, 1, -1]]
