import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.distil.fuse import FUSIONS, reciprocal_ranks, standardised
from operators.distil.lists import Lists

LISTS = Lists(np.array([0, 4, 5, 8]))
SCORES = st.lists(st.floats(-50, 50, allow_subnormal=False), min_size=8, max_size=8).map(np.array)


def places(values):
    return LISTS.ranks(values).tolist()


@given(scores=SCORES)
def test_the_reciprocal_ranks_of_one_teacher_keep_its_order(scores) -> None:
    assert places(reciprocal_ranks(LISTS, [scores])) == places(scores)


@given(scores=SCORES, other=SCORES)
def test_no_scale_of_a_teacher_changes_reciprocal_ranks(scores, other) -> None:
    plain = reciprocal_ranks(LISTS, [scores, other])
    assert np.array_equal(plain, reciprocal_ranks(LISTS, [scores * 64, other]))


def test_reciprocal_ranks_are_sums_over_sixty_and_the_rank_in_the_list() -> None:
    one = np.array([4.0, 3, 2, 1, 9, 5, 5, 6])
    fused = reciprocal_ranks(LISTS, [one, -one])
    assert fused[:5].tolist() == [
        1 / 61 + 1 / 64,
        1 / 62 + 1 / 63,
        1 / 63 + 1 / 62,
        1 / 64 + 1 / 61,
        2 / 61,
    ]
    assert fused[5] == fused[6] == pytest.approx(1 / 62 + 1 / 61)


def test_standard_scores_have_no_mean_and_unit_deviation_in_each_list() -> None:
    values = standardised(LISTS, np.array([1.0, 2, 3, 4, 7, 5, 5, 5]))
    assert values[:4].mean() == pytest.approx(0)
    assert values[:4].std() == pytest.approx(1)
    assert values[4:].tolist() == [0, 0, 0, 0]


def test_the_mean_weighs_teachers_alike_whatever_their_scale() -> None:
    one, other = np.array([1.0, 2, 3, 4, 7, 5, 6, 7]), np.array([4.0, 3, 2, 1, 7, 5, 6, 7]) * 1000
    fused, order = FUSIONS["mean"](LISTS, [one, other])
    assert fused[:4] == pytest.approx(np.zeros(4), abs=1e-9)
    assert fused[5] < fused[6] < fused[7]
    assert order is None


def test_the_chain_orders_by_all_but_the_last_teacher_and_scores_by_it() -> None:
    one, last = np.arange(8.0), -np.arange(8.0)
    scores, order = FUSIONS["rerank"](LISTS, [one, last])
    assert scores is last
    assert places(order) == places(one)
    scores, order = FUSIONS["only"](LISTS, [one])
    assert (scores is one, order) == (True, None)
