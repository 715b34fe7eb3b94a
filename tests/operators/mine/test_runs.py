"""Rows of uneven length: which are taken, and what that costs."""

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.mine.runs import Runs, bounds_of

LENGTHS = st.lists(st.integers(0, 4), min_size=1, max_size=6)


def runs(lengths, width=2):
    bounds = bounds_of(np.array(lengths, np.int64))
    values = np.arange(bounds[-1] * width, dtype=np.float32).reshape(-1, width)
    return Runs((np.arange(bounds[-1], dtype=np.int32), values), bounds)


@given(LENGTHS, st.data())
def test_rows_are_taken_in_any_order_and_as_often_as_asked(lengths, data):
    rows = data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=6))
    whole = runs(lengths)
    found = whole.taken(np.array(rows, np.int64))
    assert len(found) == len(rows)
    for place, row in enumerate(rows):
        for one, other in zip(found[place], whole[row], strict=True):
            np.testing.assert_array_equal(one, other)


def test_queries_of_all_words_are_copied_without_the_place_of_each():
    whole = runs([30_000] * 20, width=1)
    tracemalloc.start()
    found = whole.taken(np.arange(20)[::-1])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1.2 * sum(each.nbytes for each in found.arrays)
