"""Packing rows to a token budget."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.encode.budget import pack, padded_tokens

LENGTHS = st.lists(st.integers(0, 512), max_size=200).map(lambda rows: np.array(rows, np.int32))
BUDGETS = st.integers(1, 5000)


@given(LENGTHS, BUDGETS)
def test_every_row_is_packed_once(lengths, budget):
    batches = pack(lengths, budget)
    assert sorted(np.concatenate([np.zeros(0, int), *batches])) == list(range(len(lengths)))


@given(LENGTHS, BUDGETS)
def test_a_batch_keeps_the_budget_unless_it_is_one_row(lengths, budget):
    for rows in pack(lengths, budget):
        assert len(rows) == 1 or len(rows) * lengths[rows].max() <= budget


@given(LENGTHS, BUDGETS)
def test_the_longest_batch_comes_first(lengths, budget):
    longest = [lengths[rows].max() for rows in pack(lengths, budget)]
    assert longest == sorted(longest, reverse=True)


@given(LENGTHS, BUDGETS)
def test_equal_input_is_packed_equally(lengths, budget):
    again = pack(lengths.copy(), budget)
    assert all((a == b).all() for a, b in zip(pack(lengths, budget), again, strict=True))


@given(st.integers(0, 2**32 - 1))
def test_padding_is_a_small_share(seed):
    lengths = np.random.default_rng(seed).integers(1, 257, 1000).astype(np.int32)
    batches = pack(lengths, 4096)
    assert padded_tokens(lengths, batches) <= 1.08 * lengths.sum()


def test_no_rows_are_no_batches():
    assert pack(np.zeros(0, np.int32), 100) == []


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(ValueError, match="budget of 0 holds no row"):
        pack(np.ones(1, np.int32), 0)
