import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.quantize import dots as module
from operators.quantize.dots import dots, dots_of_any


def pairs(seed: int, dim: int) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(seed)
    a, b = (random.standard_normal((rows, dim)).astype(np.float32) for rows in (20, 30))
    return a, b, np.sort(random.integers(0, 20, 100)), random.integers(0, 30, 100)


@given(st.integers(0, 99), st.integers(1, 70))
def test_is_the_dot_product_of_each_pair(seed, dim) -> None:
    a, b, first, second = pairs(seed, dim)
    exact = np.einsum("nd,nd->n", a[first].astype(np.float64), b[second].astype(np.float64))
    assert np.allclose(dots(a, b, first, second), exact, atol=1e-4)


@given(st.integers(0, 99), st.integers(1, 70))
def test_other_pairs_and_other_places_change_no_bit(seed, dim) -> None:
    a, b, first, second = pairs(seed, dim)
    whole = dots(a, b, first, second)
    order = np.random.default_rng(seed).permutation(100)
    assert np.array_equal(dots_of_any(a, b, first[order], second[order]), whole[order])
    later = second >= 7
    assert np.array_equal(dots(a, b[7:], first[later], second[later] - 7), whole[later])
    swapped = dots_of_any(b, a, second, first)
    assert np.array_equal(swapped, whole)


def test_many_pairs_are_taken_some_at_a_time(monkeypatch) -> None:
    a, b, first, second = pairs(1, 16)
    whole = dots(a, b, first, second)
    monkeypatch.setattr(module, "_AT_ONCE", 7)
    assert np.array_equal(dots(a, b, first, second), whole)


def test_matrices_that_may_only_be_read_are_read() -> None:
    a, b, first, second = pairs(2, 8)
    a.flags.writeable = b.flags.writeable = False
    assert len(dots(a, b[::2], first, second // 2)) == 100
