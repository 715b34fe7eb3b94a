import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.mine.rules_score import (
    AbsoluteMargin,
    MaxScore,
    MinScore,
    NvMine,
    RelativeMargin,
    reference,
)
from tests.mined import dropped, pairs, simple, world

NAN = float("nan")
SCORES = [[1.0, 0.96, 0.95, 0.94, 0.5, 0.0, -0.5]]


def test_nv_mine_keeps_what_scores_below_its_share_of_the_positive() -> None:
    case = simple([[1.0, 0.8, 0.75, 0.74]], pairs((0, 0, 1.0)))
    assert dropped(case, NvMine(share=0.75)) == [{"d0", "d1", "d2"}]


def test_nv_mine_finds_no_bound_where_the_positive_scores_nothing() -> None:
    below = [[-0.5, -0.6, -0.7], [0.0, -0.1, -0.2]]
    case = simple(below, pairs((0, 0, -0.5), (1, 0, 0.0)))
    assert dropped(case, NvMine()) == [{"d0", "d1", "d2"}] * 2


@pytest.mark.parametrize("rule", [AbsoluteMargin(), RelativeMargin(), NvMine()])
def test_without_a_scored_positive_there_is_no_bound_and_every_candidate_goes(rule) -> None:
    case = simple([[0.3, 0.2]] * 2, pairs((0, 0, NAN)))
    assert dropped(case, rule) == [{"d0", "d1"}] * 2


def test_the_absolute_margin_keeps_what_lies_just_on_it() -> None:
    case = simple([[1.0, 0.76, 0.75, 0.5]], pairs((0, 0, 1.0)))
    assert dropped(case, AbsoluteMargin(margin=0.25)) == [{"d0", "d1"}]


def test_the_relative_margin_moves_down_also_from_a_negative_score() -> None:
    case = simple([[-1.0, -1.2, -1.25, -1.5]], pairs((0, 0, -1.0)))
    assert dropped(case, RelativeMargin(margin=0.25)) == [{"d0", "d1"}]


@pytest.mark.parametrize("rule", [AbsoluteMargin, RelativeMargin, NvMine])
def test_of_several_positives_the_lowest_bounds_all(rule) -> None:
    case = simple([[1.0, 0.9, 0.8, 0.6, 0.4]], pairs((0, 0, 1.0), (0, 3, 0.6)))
    assert dropped(case, rule()) == [{"d0", "d1", "d2", "d3"}]


def test_a_positive_without_a_score_bounds_nothing_where_another_has_one() -> None:
    found = reference(pairs((0, 0, NAN), (0, 1, 0.5), (0, 2, 0.75)), 2)
    assert found[0] == 0.5
    assert np.isnan(found[1])


def test_caps_keep_what_lies_just_on_them() -> None:
    case = simple([[0.75, 0.5, 0.25]], pairs())
    assert dropped(case, MaxScore(limit=0.5)) == [{"d0"}]
    assert dropped(case, MinScore(limit=0.5)) == [{"d2"}]


@given(st.integers(0, 10_000))
def test_with_no_margin_all_that_scores_below_the_positive_stays(seed) -> None:
    case = world(seed).case(range(6))
    lowest = reference(case.positives, 6)[case.pool.query]
    for rule in (AbsoluteMargin(margin=0), RelativeMargin(margin=0)):
        assert np.array_equal(~rule.drops(case), case.pool.score <= lowest)
    below = (case.pool.score < lowest) & (lowest > 0)
    assert np.array_equal(~NvMine(share=1).drops(case), below)


@given(st.integers(0, 10_000), st.floats(0.1, 1), st.floats(0.1, 1))
def test_a_smaller_share_drops_no_less(seed, one, other) -> None:
    case = world(seed).case(range(6))
    less, more = NvMine(share=max(one, other)), NvMine(share=min(one, other))
    assert not (less.drops(case) & ~more.drops(case)).any()


@pytest.mark.parametrize("share", [0, 1.5])
def test_a_share_that_is_none_is_refused(share) -> None:
    with pytest.raises(ValueError, match="share"):
        NvMine(share=share)
