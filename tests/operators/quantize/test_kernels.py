import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.quantize.bits import words
from operators.quantize.kernels import (
    BitVectors,
    FloatVectors,
    Int8Vectors,
    SignVectors,
    Vectors,
    packed_signs,
)


def grid(seed: int, rows: int, dim: int) -> np.ndarray:
    """Multiples of 1/8: sums and products of them are exact in float32, in any order."""
    return np.random.default_rng(seed).integers(-8, 9, (rows, dim)).astype(np.float32) / 8


def every_kind(seed: int, rows: int, dim: int) -> list[Vectors]:
    random = np.random.default_rng(seed)
    codes = random.integers(-127, 128, (rows, dim)).astype(np.int8)
    scales = (2.0 ** random.integers(-7, -3, rows)).astype(np.float32)
    center, spread = grid(seed + 1, 1, dim)[0], np.full(dim, 0.25, np.float32)
    bits = BitVectors(packed_signs(grid(seed, rows, dim), center), center, spread)
    return [FloatVectors(grid(seed, rows, dim)), Int8Vectors(codes, scales), SignVectors(bits)]


@given(st.integers(0, 99), st.integers(1, 40), st.integers(1, 70), st.data())
def test_a_score_is_the_float_query_times_what_the_code_stands_for(seed, rows, dim, data) -> None:
    start = data.draw(st.integers(0, rows))
    stop = data.draw(st.integers(start, rows))
    queries = grid(seed + 2, 5, dim)
    for vectors in every_kind(seed, rows, dim):
        meant = vectors.take(np.arange(rows))
        expected = queries @ meant[start:stop].T
        assert np.array_equal(vectors.scores(queries, start, stop), expected)
        assert (len(vectors), vectors.dim) == (rows, dim)


@given(st.integers(0, 99), st.integers(1, 30), st.integers(1, 200))
def test_bits_score_dim_minus_twice_the_bits_that_differ(seed, rows, dim) -> None:
    center = grid(seed + 1, 1, dim)[0]
    stored, queries = grid(seed, rows, dim), grid(seed + 2, 11, dim)
    bits = BitVectors(packed_signs(stored, center), center, np.ones(dim, np.float32))
    differing = ((queries > center)[:, None] != (stored > center)[None]).sum(axis=2)
    assert np.array_equal(bits.scores(queries, 0, rows), dim - 2 * differing)
    assert np.array_equal(bits.take(np.arange(rows)) > center, stored > center)


def test_the_first_dimension_is_the_highest_bit_and_words_end_in_zeros() -> None:
    packed = packed_signs(np.array([[1, -1, -1, 0, -1, -1, -1, 1, 1]], np.float32), np.float32(0))
    assert packed[0, 0] == 0b10000001
    assert packed[0, 1] == 0b10000000
    assert np.array_equal(words(packed).view(np.uint8)[0, 2:], np.zeros(6))


def test_a_bin_number_alone_is_never_a_score() -> None:
    vectors = Int8Vectors(np.array([[127], [127]], np.int8), np.array([0.5, 0.25], np.float32))
    scores = vectors.scores(np.array([[2.0]], np.float32), 0, 2)
    assert scores[0] == pytest.approx([127.0, 63.5])
