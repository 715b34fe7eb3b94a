"""What each map learns from pairs of vectors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.adapt.adder import Adder
from operators.adapt.lengths import unit_length
from operators.adapt.linear import Linear
from operators.adapt.orthogonal import Orthogonal
from operators.adapt.protocol import Pairs, SpaceMap
from operators.adapt.registry import MAPS, map_class
from operators.adapt.shift import Shift
from operators.errors import ContractError, TableError


def units(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((rows, dim))
    return unit_length(drawn.astype(np.float32))


def rotation(dim: int, seed: int = 1) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((dim, dim))
    return np.linalg.qr(drawn)[0].astype(np.float32)


def mapped(by: SpaceMap, pairs: Pairs, matrix: np.ndarray) -> np.ndarray:
    return unit_length(by.apply(matrix, by.fit(pairs)))


def found_first(queries: np.ndarray, gallery: np.ndarray) -> float:
    """Share of queries whose nearest gallery row is the one of the same number."""
    return float((np.argmax(queries @ gallery.T, axis=1) == np.arange(len(queries))).mean())


@pytest.mark.parametrize("name", MAPS)
def test_every_map_is_registered_under_its_own_name(name):
    assert map_class(name).name == name
    assert isinstance(map_class(name)(), SpaceMap)


def test_a_misspelt_map_is_answered_with_the_one_it_resembles():
    with pytest.raises(ValueError, match="no map 'ortogonal'; did you mean 'orthogonal'"):
        map_class("ortogonal")
    with pytest.raises(ValueError, match="no map 'x'; there are orthogonal, linear, shift, adder"):
        map_class("x")


@pytest.mark.parametrize("name", MAPS)
def test_the_same_pairs_give_the_same_map_and_its_dimensions(name):
    pairs = Pairs(units(60, 8), units(60, 8, seed=3))
    by = map_class(name)()
    first, second = by.fit(pairs), by.fit(pairs)
    assert all(np.array_equal(first[key], second[key]) for key in first)
    assert by.dims(first) == (8, 8)
    assert by.apply(units(5, 8), first).dtype == np.float32


@given(dim=st.integers(2, 24), seed=st.integers(0, 2**16))
def test_procrustes_takes_any_rotation_back(dim, seed):
    old = units(3 * dim, dim, seed)
    turn = rotation(dim, seed + 1)
    again = mapped(Orthogonal(), Pairs(old @ turn, old), old @ turn)
    assert np.abs(again - old).max() < 1e-5


@given(seed=st.integers(0, 2**16), sides=st.tuples(st.integers(2, 12), st.integers(2, 12)))
def test_procrustes_between_any_dimensions_is_a_part_of_a_rotation(seed, sides):
    source, target = sides
    pairs = Pairs(units(40, source, seed), units(40, target, seed + 1))
    matrix = Orthogonal().fit(pairs)["matrix"]
    small = matrix.T @ matrix if source >= target else matrix @ matrix.T
    assert np.abs(small - np.eye(min(sides))).max() < 1e-5


def test_no_other_rotation_brings_the_pairs_nearer():
    pairs = Pairs(units(50, 6), units(50, 4, seed=2))
    best = float(np.einsum("nd,nd->", mapped(Orthogonal(), pairs, pairs.source), pairs.target))
    raw = pairs.source @ Orthogonal().fit(pairs)["matrix"]
    reached = float((raw * pairs.target).sum())
    for seed in range(20):
        other = rotation(6, seed)[:, :4]
        assert float((pairs.source @ other * pairs.target).sum()) <= reached + 1e-5
    assert np.isfinite(best)


def test_a_small_space_in_a_large_one_is_found_again():
    old = units(80, 5)
    wide = np.concatenate([old, np.zeros((80, 3), np.float32)], axis=1) @ rotation(8)
    assert np.abs(mapped(Orthogonal(), Pairs(wide, old), wide) - old).max() < 1e-5
    assert np.abs(mapped(Orthogonal(), Pairs(old, wide), old) - wide).max() < 1e-5


def test_ridge_regression_recovers_a_linear_map_on_rows_it_has_not_seen():
    by = np.random.default_rng(0).standard_normal((12, 7)).astype(np.float32)
    seen, unseen = units(300, 12), units(50, 12, seed=9)
    again = mapped(Linear(), Pairs(seen, seen @ by), unseen)
    assert np.einsum("nd,nd->n", again, unit_length(unseen @ by)).min() > 0.9999


def test_the_ridge_is_chosen_by_pairs_that_were_not_fitted():
    """Noise over what 5 strong dimensions tell asks for a large ridge, no noise for a small one."""
    drawn = np.random.default_rng(0)
    scales = np.where(np.arange(40) < 5, 1, 0.05)
    source = (drawn.standard_normal((60, 40)) * scales).astype(np.float32)
    noise = drawn.standard_normal((60, 5)).astype(np.float32)
    noisy, clean = Pairs(source, source[:, :5] + noise), Pairs(source, source[:, :5])
    for pairs, ridges in ((noisy, (0.1, 1.0)), (clean, (1e-4,))):
        chosen = Linear().fit(pairs)["matrix"]
        likely = [Linear(ridge=ridge).fit(pairs)["matrix"] for ridge in ridges]
        assert any(np.array_equal(chosen, each) for each in likely)


def test_too_few_pairs_are_refused():
    few = Pairs(units(9, 4), units(9, 4))
    with pytest.raises(TableError, match="9 pairs; a linear map learns from 10 or more"):
        Linear().fit(few)
    with pytest.raises(TableError, match="9 distinct sources; adder learns from 10 or more"):
        Adder().fit(few)


@pytest.mark.parametrize("by", [Adder(), Shift()])
def test_maps_within_a_space_refuse_two(by):
    with pytest.raises(ContractError, match="20 pairs of 4 and 5 dimensions"):
        by.fit(Pairs(units(20, 4), units(20, 5)))
    with pytest.raises(ContractError, match="0 pairs"):
        by.fit(Pairs(units(0, 4), units(0, 4)))


def test_a_shift_is_the_mean_way():
    source = units(30, 6)
    way = np.array([1, 0, 0, 0, 0, -2], np.float32)
    learned = Shift().fit(Pairs(source, source + way))
    assert np.allclose(Shift().apply(source, learned), source + way, atol=1e-6)


def test_an_adder_starts_as_no_map_at_all_to_the_last_bit():
    pairs = Pairs(units(40, 16), units(40, 16, seed=2))
    start = Adder(epochs=0).fit(pairs)
    queries, gallery = units(20, 16, seed=3), units(30, 16, seed=4)
    moved = unit_length(Adder().apply(queries, start))
    assert moved.tobytes() == queries.tobytes()
    assert (moved @ gallery.T).tobytes() == (queries @ gallery.T).tobytes()


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_the_residual_has_no_higher_rank_than_asked_for(rank):
    learned = Adder(rank=rank, epochs=5).fit(Pairs(units(60, 16), units(60, 16, seed=2)))
    residual = learned["up"].astype(np.float64) @ learned["down"]
    assert np.linalg.matrix_rank(residual, tol=1e-6) <= rank
    assert learned["up"].shape == (16, rank)


def test_an_adder_recovers_a_planted_residual_of_low_rank_on_queries_it_has_not_seen():
    drawn = np.random.default_rng(0)
    up, down = drawn.standard_normal((32, 2)), drawn.standard_normal((2, 32))
    queries = units(700, 32)
    answers = unit_length((queries + 0.3 * queries @ down.T @ up.T).astype(np.float32))
    seen, unseen = slice(0, 500), slice(500, 700)
    before = answers.copy()
    moved = mapped(Adder(rank=4), Pairs(queries[seen], answers[seen]), queries[unseen])
    start = found_first(queries[unseen], answers[unseen])
    assert found_first(moved, answers[unseen]) > max(0.9, start + 0.2)
    assert np.array_equal(answers, before), "the corpus stays as it is"


def test_what_cannot_be_learned_leaves_the_queries_as_they_are():
    """No residual helps the held-out queries, so the early stop keeps the start."""
    same = units(200, 24)
    learned = Adder(rate=1.0).fit(Pairs(same, same))
    assert not learned["up"].any()


def test_other_targets_of_a_query_do_not_push_it_away():
    """A query with two answers: with both known as its own, the loss leaves neither out."""
    queries = np.repeat(units(40, 16), 2, axis=0)
    answers = units(80, 16, seed=5)
    others = units(100, 16, seed=6)
    moved = mapped(Adder(rank=16, epochs=60), Pairs(queries, answers, others), queries)
    own = np.einsum("nd,nd->n", moved, answers)
    assert own.mean() > np.einsum("nd,nd->n", queries, answers).mean() + 0.1


@given(seed=st.integers(0, 2**16))
def test_length_one_is_given_once(seed):
    drawn = np.random.default_rng(seed).standard_normal((9, 7)).astype(np.float32)
    drawn[4] = 0
    once = unit_length(drawn)
    assert np.allclose(np.linalg.norm(np.delete(once, 4, 0), axis=1), 1, atol=1e-6)
    assert not once[4].any()
    assert unit_length(once).tobytes() == once.tobytes()


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValidationError):
        Adder(rank=0)
    with pytest.raises(ValidationError):
        Linear(ridge=0)
