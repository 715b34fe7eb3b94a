"""Poolings of token states."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from operators.encode.pooling import POOLINGS, places

BY_HAND = {
    "cls": lambda states, _: states[0],
    "last": lambda states, _: states[-1],
    "max": lambda states, _: states.max(0),
    "mean": lambda states, _: states.mean(0),
    "mean_sqrt": lambda states, _: states.sum(0) / len(states) ** 0.5,
    "wmean": lambda states, place: (states * place[:, None]).sum(0) / place.sum(),
}


def batch(lengths, side, seed=0):
    """States of which padding holds NaN, and the mask."""
    tokens = max(lengths)
    states = np.random.default_rng(seed).normal(size=(len(lengths), tokens, 3)).astype(np.float32)
    column = np.arange(tokens)[None, :]
    ends = np.array(lengths)[:, None]
    mask = column < ends if side == "right" else column >= tokens - ends
    states[~mask] = np.nan
    return states, mask


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("side", ["left", "right"])
@given(lengths=st.lists(st.integers(2, 9), min_size=1, max_size=6), prompt=st.integers(0, 1))
def test_a_pooling_is_its_definition_whatever_the_padding(name, side, lengths, prompt):
    states, mask = batch(lengths, side)
    prompts = torch.full((len(lengths),), prompt)
    place = places(torch.from_numpy(mask).long(), prompts if prompt else None)
    found = POOLINGS[name](torch.from_numpy(states), place).numpy()
    for row, length in enumerate(lengths):
        own = states[row][mask[row]]
        kept = own[prompt:]
        wanted = BY_HAND[name](kept, np.arange(prompt + 1, length + 1))
        np.testing.assert_allclose(found[row], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", POOLINGS)
def test_a_row_without_a_token_is_not_finite(name):
    states, mask = torch.ones(2, 3, 4), torch.tensor([[1, 1, 1], [0, 0, 0]])
    found = POOLINGS[name](states, places(mask))
    assert found[0].isfinite().all()
    assert not found[1].isfinite().any()


@pytest.mark.parametrize("name", POOLINGS)
def test_low_precision_states_are_summed_in_float32(name):
    states = torch.randn(1, 300, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    place = places(torch.ones(1, 300, dtype=torch.long))
    found = POOLINGS[name](states, place)
    assert found.dtype == torch.float32
    assert torch.equal(found, POOLINGS[name](states.float(), place))


def test_places_count_a_rows_own_tokens():
    mask = torch.tensor([[1, 1, 1, 0], [0, 0, 1, 1]])
    assert places(mask).tolist() == [[1, 2, 3, 0], [0, 0, 1, 2]]
    assert places(mask, torch.tensor([1, 1])).tolist() == [[0, 2, 3, 0], [0, 0, 0, 2]]
