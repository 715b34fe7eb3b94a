import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.distil.lists import Lists, ranges

SIZES = st.lists(st.integers(1, 5), max_size=5)


@given(sizes=SIZES, seed=st.integers(0, 50))
def test_lists_behave_as_lists(sizes, seed) -> None:
    lists = Lists(np.cumsum([0, *sizes]))
    values = np.random.default_rng(seed).integers(0, 4, sum(sizes)).astype(np.float64)
    parts = [part.tolist() for part in np.split(values, lists.offsets[1:-1])][: len(sizes)]
    assert lists.total(values).tolist() == [sum(part) for part in parts]
    assert lists.highest(values).tolist() == [max(part) for part in parts]
    assert lists.positions().tolist() == [n for size in sizes for n in range(size)]
    ranks = [1 + sum(other > value for other in part) for part in parts for value in part]
    assert lists.ranks(values).tolist() == ranks
    ordered = [v for part in parts for v in [part[0], *sorted(part[1:], reverse=True)]]
    assert values[lists.descending(values)].tolist() == ordered
    kept = (values > 1) | (lists.positions() == 0)
    counts = [1 + sum(value > 1 for value in part[1:]) for part in parts]
    assert np.diff(lists.only(kept).offsets).tolist() == counts


def test_ranges_lie_end_to_end() -> None:
    assert ranges(np.array([5, 9, 0]), np.array([2, 0, 3])).tolist() == [5, 6, 0, 1, 2]
    assert ranges(np.array([], int), np.array([], int)).tolist() == []
