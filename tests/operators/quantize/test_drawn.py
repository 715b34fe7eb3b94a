"""A sample that any cut and order of the rows draws alike, and how near its medians are."""

from functools import reduce

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.quantize.drawn import both, drawn

RANDOM = np.random.default_rng(5)
ROWS = RANDOM.standard_normal((300, 6)).astype(np.float32)


@given(st.lists(st.integers(0, 300), max_size=6), st.integers(0, 99), st.integers(1, 320))
def test_parts_in_any_order_draw_the_rows_that_the_whole_draws(cuts, seed, most):
    random = np.random.default_rng(seed)
    shuffled = np.vstack([ROWS, ROWS[: seed % 7]])[random.permutation(300 + seed % 7)]
    parts = [drawn(part, most) for part in np.split(shuffled, sorted(cuts)) if len(part)]
    random.shuffle(parts)
    found = reduce(lambda one, other: both(one, other, most), parts)["rows"]
    assert np.array_equal(found, drawn(ROWS, most)["rows"])
    assert len(found) == min(most, 300)


def test_a_row_that_comes_often_is_drawn_once_and_zero_has_no_sign():
    rows = np.array([[1, 2], [0.0, 3], [1, 2], [-0.0, 3], [1, 2]], np.float32)
    found = drawn(rows)["rows"]
    assert sorted(map(tuple, found)) == [(0, 3), (1, 2)]
    assert not np.signbit(found).any()


def test_fewer_rows_are_the_first_of_more():
    assert np.array_equal(drawn(ROWS, 20)["rows"], drawn(ROWS, 90)["rows"][:20])


def test_a_median_of_the_sample_cuts_the_rows_as_near_to_their_middle_as_its_size_allows():
    """By Dvoretzky, Kiefer and Wolfowitz: n rows miss by e once in exp(2 n e²) / 2 dimensions."""
    skewed = np.exp(2 * RANDOM.standard_normal((20_000, 40))).astype(np.float32) + 5
    skewed *= np.sign(RANDOM.standard_normal(40)).astype(np.float32)
    for most in (500, 2000):
        center = np.median(drawn(skewed, most)["rows"], axis=0)
        missed = np.abs((skewed > center).mean(axis=0) - 0.5)
        bound = np.sqrt(np.log(2 * 40 / 1e-4) / (2 * most))
        assert missed.max() < bound
