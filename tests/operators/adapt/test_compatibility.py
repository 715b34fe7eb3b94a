"""The laws of compatibility, on random vectors."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.adapt.compatibility import (
    SHARES,
    Quality,
    accuracy,
    backfill,
    backfill_by_both,
    compatibility,
    quality,
    violated,
)
from operators.adapt.lengths import unit_length
from operators.adapt.orthogonal import Orthogonal
from operators.adapt.protocol import Pairs
from operators.mine.quality import Judgments

QUERIES, DOCS, DIM = 30, 150, 24


def units(rows: int, seed: int, dim: int = DIM) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((rows, dim))
    return unit_length(drawn.astype(np.float32))


def rotation(seed: int = 1) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((DIM, DIM))
    return np.linalg.qr(drawn)[0].astype(np.float32)


def near(queries: np.ndarray, seed: int, share: float = 2.0) -> np.ndarray:
    """A gallery whose first rows each lie near the query of their number."""
    gallery = units(DOCS, seed)
    gallery[: len(queries)] = unit_length(queries + share * gallery[: len(queries)])
    return gallery


def own() -> Judgments:
    rows = np.arange(QUERIES)
    return Judgments(rows, rows, np.ones(QUERIES))


OLD_QUERIES = units(QUERIES, 1)
OLD = near(OLD_QUERIES, 2)
NEW_QUERIES = units(QUERIES, 3)
NEW = near(NEW_QUERIES, 4, 1.5)
ORDER = np.random.default_rng(0).permutation(DOCS)


def same(one: Quality, other: Quality) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("ndcg_10", "recall_10", "recall_100")
    )


def test_one_model_twice_is_constant_and_compatible_in_nothing():
    """Equality does not count: AC is 0 under the strict inequality."""
    cell = quality(OLD_QUERIES, OLD, own()).mean
    assert 0 < cell < 1
    grid = [[cell, cell], [cell, cell]]
    assert compatibility(grid) == 0
    assert accuracy(grid) == pytest.approx(cell)
    broken = violated((OLD_QUERIES, OLD), (OLD_QUERIES, OLD), own())
    assert (broken.same, broken.different) == (0, 0)
    curves = [
        backfill(OLD_QUERIES, OLD, OLD, ORDER, own()),
        backfill_by_both((OLD_QUERIES,) * 2, (OLD,) * 2, ORDER, own()),
    ]
    assert {each.mean for curve in curves for each in curve} == {cell}


@settings(max_examples=20)
@given(seed=st.integers(0, 2**16))
def test_a_rotated_model_finds_nothing_and_procrustes_restores_it_exactly(seed):
    turn = rotation(seed)
    queries, new = unit_length(OLD_QUERIES @ turn), unit_length(OLD @ turn)
    before = quality(OLD_QUERIES, OLD, own())
    assert quality(queries, new, own()).mean == pytest.approx(before.mean)
    assert quality(queries, OLD, own()).mean < before.mean / 2
    fitted = Orthogonal().fit(Pairs(new[QUERIES:], OLD[QUERIES:]))
    restored = unit_length(Orthogonal().apply(queries, fitted))
    assert same(quality(restored, OLD, own()), before)
    broken = violated((restored, OLD), (OLD_QUERIES, OLD), own())
    assert (broken.same, broken.different) == (0, 0)


def test_the_curves_end_where_the_matrix_has_its_cells():
    old, new = quality(OLD_QUERIES, OLD, own()), quality(NEW_QUERIES, NEW, own())
    crossed = quality(NEW_QUERIES, OLD, own())
    both = backfill_by_both((OLD_QUERIES, NEW_QUERIES), (OLD, NEW), ORDER, own())
    assert len(both) == len(SHARES) == 11
    assert same(both[0], old)
    assert same(both[-1], new)
    mixed = backfill(NEW_QUERIES, OLD, NEW, ORDER, own())
    assert same(mixed[0], crossed)
    assert same(mixed[-1], new)
    assert crossed.mean < mixed[5].mean < new.mean


def test_two_models_of_other_dimensions_have_a_curve_with_both_queries():
    queries, new = units(QUERIES, 5, dim=7), units(DOCS, 6, dim=7)
    both = backfill_by_both((OLD_QUERIES, queries), (OLD, new), ORDER, own())
    assert same(both[0], quality(OLD_QUERIES, OLD, own()))
    assert same(both[-1], quality(queries, new, own()))


@given(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=4, max_size=4))
def test_compatibility_and_accuracy_are_what_their_formulas_say(grid):
    pairs = [(i, j) for i in range(4) for j in range(4) if i > j]
    assert compatibility(grid) == sum(grid[i][j] > grid[j][j] for i, j in pairs) / 6
    lower = [grid[i][j] for i, j in pairs] + [grid[i][i] for i in range(4)]
    assert accuracy(grid) == pytest.approx(sum(lower) / 10)


def test_a_cell_without_a_common_space_counts_as_not_compatible_and_leaves_no_mean():
    grid = [[0.5, math.nan], [math.nan, 0.6]]
    assert compatibility(grid) == 0
    assert math.isnan(accuracy(grid))
    with pytest.raises(ValueError, match="two versions or more"):
        compatibility([[0.5]])


def test_the_inequalities_are_counted_pair_by_pair():
    old = np.eye(3, dtype=np.float32)[:1], np.eye(3, dtype=np.float32)[[0, 1, 2]]
    turned = unit_length(np.array([[1, 1, 0]], np.float32))
    judged = Judgments(np.array([0]), np.array([0]), np.ones(1))
    broken = violated((turned, old[1]), old, judged)
    assert (broken.same, broken.different) == (1.0, 0.5)


def test_unjudged_queries_and_absent_documents_do_no_harm():
    judged = Judgments(np.array([0]), np.array([-2]), np.ones(1))
    found = quality(OLD_QUERIES, OLD, judged)
    assert found.mean == 0
    assert math.isnan(violated((OLD_QUERIES, OLD), (OLD_QUERIES, OLD), judged).same)
    nobody = Judgments(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    assert math.isnan(quality(OLD_QUERIES, OLD, nobody).mean)
