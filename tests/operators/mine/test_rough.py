import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.mine import topk as module
from operators.mine.rough import Room, multiplies_halves, passing, rounded
from operators.mine.topk import level, topk
from operators.quantize.kernels import BitVectors, FloatVectors, packed_signs

HALVES = (False, True)


def vectors(seed: int, rows: int, dim: int, spread: float = 1) -> np.ndarray:
    """Normal values, the rows of very different lengths."""
    random = np.random.default_rng(seed)
    lengths = np.exp(random.normal(0, spread, (rows, 1)))
    return (random.standard_normal((rows, dim)) * lengths).astype(np.float32)


@pytest.mark.parametrize("halves", HALVES)
@given(st.integers(0, 999), st.integers(1, 70), st.integers(1, 40), st.integers(1, 90))
@settings(max_examples=60)
def test_what_reaches_the_floor_passes(halves, seed, rows, dim, k) -> None:
    queries, tile = vectors(seed, 5, dim), vectors(seed + 1, rows, dim)
    scores = queries.astype(np.float64) @ tile.astype(np.float64).T
    floor = np.median(scores, axis=1).astype(np.float32)
    asked, stored = rounded(queries, halves=halves), rounded(tile, halves=halves)
    query, row = passing(asked, stored, floor, k, Room())
    passed = np.zeros(scores.shape, bool)
    passed[query, row] = True
    assert passed[scores >= floor[:, None]].all()


@pytest.mark.parametrize("halves", HALVES)
@pytest.mark.parametrize("spread", [0, 2])
def test_without_a_floor_the_best_of_the_tile_pass(halves, spread) -> None:
    queries, tile = vectors(1, 20, 32), vectors(2, 1000, 32, spread)
    nowhere = np.full(20, -np.inf, np.float32)
    asked, stored = rounded(queries, halves=halves), rounded(tile, halves=halves)
    for k in (1, 10, 400, 1000, 1001):
        query, row = passing(asked, stored, nowhere, k, Room())
        passed = np.zeros((20, 1000), bool)
        passed[query, row] = True
        best = np.argsort(-(queries @ tile.T), axis=1)[:, :k]
        assert np.take_along_axis(passed, best, axis=1).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_few_pass_that_are_not_among_the_best(sign) -> None:
    random = np.random.default_rng(3)
    unit = random.standard_normal((4050, 128)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    queries, tile = (
        rounded(sign * abs(unit[:50]), halves=True),
        rounded(abs(unit[50:]), halves=True),
    )
    scores = queries.floats @ tile.floats.T
    floor = np.partition(scores, -100, axis=1)[:, -100]
    query, _ = passing(queries, tile, floor, 100, Room())
    assert len(query) < 3 * 50 * 100


def test_multiplying_halves_or_floats_gives_the_same_bits(monkeypatch) -> None:
    matrix, queries = vectors(4, 3000, 48), vectors(5, 40, 48)
    found = []
    for halves in HALVES:
        monkeypatch.setattr(module, "multiplies_halves", lambda halves=halves: halves)
        found.append(topk(queries, [FloatVectors(matrix)], 25))
    assert np.array_equal(found[0].scores, found[1].scores)
    assert np.array_equal(found[0].rows, found[1].rows)


def test_rows_level_with_a_score_are_found() -> None:
    matrix = np.random.default_rng(0).integers(-1, 2, (500, 3)).astype(np.float32)
    queries = np.array([[1, 1, 0], [0, -1, 0]], np.float32)
    scores = np.array([1, 0], np.float32)
    [(query, row)] = level(queries, scores, [FloatVectors(matrix)], 0)
    expected = (queries @ matrix.T) == np.array([[1], [0]])
    assert len(query) == np.count_nonzero(expected)
    assert expected[query, row].all()


@pytest.mark.parametrize("asked", [2, 50])
def test_bits_level_with_a_score_are_found(asked) -> None:
    matrix = np.random.default_rng(0).standard_normal((500, 12)).astype(np.float32)
    center, spread = np.zeros(12, np.float32), np.ones(12, np.float32)
    bits = BitVectors(packed_signs(matrix, center), center, spread)
    expected = bits.scores(matrix[:asked], 0, 500) == 8
    [(query, row)] = level(matrix[:asked], np.full(asked, 8, np.float32), [bits], 0)
    assert len(query) == np.count_nonzero(expected)
    assert expected[query, row].all()


def test_vectors_that_are_not_finite_are_refused() -> None:
    broken = vectors(1, 3, 4)
    broken[1, 2] = np.nan
    with pytest.raises(ValueError, match="stored vector is not finite"):
        rounded(broken, halves=multiplies_halves())
