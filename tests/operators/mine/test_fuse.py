import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.mine.fuse import Fusion, Ranked, filled, fuse, proposers
from tests.mined import ids_of, table_of, world

DOCUMENTS = table_of([f"text {row}" for row in range(12)])
SEEDS = st.integers(0, 10_000)


def ranked(*rows, scores=None) -> Ranked:
    width = max(map(len, rows))
    table = np.array([[*row, *[-1] * (width - len(row))] for row in rows])
    given = scores if scores is not None else np.where(table >= 0, -np.arange(width), -np.inf)
    return Ranked(table, np.array(given, np.float32))


def order(pool) -> list[list[int]]:
    return [pool.document[pool.query == query].tolist() for query in range(pool.queries)]


def random_list(rng, queries=3, k=6) -> Ranked:
    rows = np.array([rng.permutation(12)[:k] for _ in range(queries)])
    rows[rng.random(rows.shape) < 0.2] = -1
    return Ranked(rows, -np.sort(-rng.normal(size=rows.shape).astype(np.float32), axis=1))


def test_reciprocal_ranks_are_the_sum_worked_out_by_hand() -> None:
    one, other = ranked([0, 1, 2]), ranked([2, 3, 0])
    pool = fuse([one, other], DOCUMENTS, Fusion(k=1))
    # 0: 1/2 + 1/4, 2: 1/4 + 1/2, a tie by id; 1 and 3: 1/3 each
    assert order(pool) == [[0, 2, 1, 3]]
    assert pool.rank.tolist() == [0, 1, 2, 3]
    assert pool.sources.tolist() == [3, 3, 1, 2]


def test_the_score_is_the_first_sources_and_nan_for_what_only_others_propose() -> None:
    one, other = ranked([0, 1], scores=[[0.5, 0.25]]), ranked([2, 0], scores=[[9, 8]])
    pool = fuse([one, other], DOCUMENTS, Fusion())
    found = dict(zip(pool.document.tolist(), pool.score.tolist(), strict=True))
    assert found == pytest.approx({0: 0.5, 1: 0.25, 2: float("nan")}, nan_ok=True)


@given(SEEDS, st.sampled_from(["rrf", "minmax", "zscore"]))
def test_one_list_keeps_its_order_even_where_scores_are_equal(seed, method) -> None:
    rng = np.random.default_rng(seed)
    alone = random_list(rng)
    alone = Ranked(alone.documents, np.rint(alone.scores))
    pool = fuse([alone], DOCUMENTS, Fusion(method=method))
    assert order(pool) == [row[row >= 0].tolist() for row in alone.documents]


@given(SEEDS)
def test_reciprocal_ranks_do_not_depend_on_the_scale_of_scores(seed) -> None:
    rng = np.random.default_rng(seed)
    one, other = random_list(rng), random_list(rng)
    scaled = Ranked(other.documents, np.exp(other.scores) * 100)
    fused = [fuse([one, two], DOCUMENTS, Fusion()) for two in (other, scaled)]
    assert order(fused[0]) == order(fused[1])


@given(SEEDS, st.sampled_from(["minmax", "zscore"]))
def test_scaled_scores_do_not_depend_on_unit_and_zero(seed, method) -> None:
    rng = np.random.default_rng(seed)
    one, other = random_list(rng), random_list(rng)
    moved = Ranked(other.documents, other.scores * 4 + 8)
    fused = [fuse([one, two], DOCUMENTS, Fusion(method=method)) for two in (other, moved)]
    assert order(fused[0]) == order(fused[1])


def test_minmax_is_the_sum_worked_out_by_hand() -> None:
    one = ranked([0, 1, 2], scores=[[1.0, 0.75, 0.0]])
    other = ranked([1, 3, 0], scores=[[20, 18, 10]])
    pool = fuse([one, other], DOCUMENTS, Fusion(method="minmax"))
    assert order(pool) == [[1, 0, 3, 2]]  # 1.75, 1, 0.8, 0
    pool = fuse([one, other], DOCUMENTS, Fusion(method="minmax", weights=(3, 1)))
    assert order(pool) == [[1, 0, 3, 2]]  # 3.25, 3, 0.8, 0
    pool = fuse([one, other], DOCUMENTS, Fusion(method="minmax", weights=(9, 1)))
    assert order(pool) == [[0, 1, 3, 2]]  # 9, 7.75, 0.8, 0


def test_a_list_of_equal_scores_still_speaks_for_its_documents() -> None:
    one = ranked([0, 1, 2], scores=[[1.0, 0.5, 0.0]])
    other = ranked([2, 3], scores=[[5, 5]])
    assert order(fuse([one, other], DOCUMENTS, Fusion(method="minmax"))) == [[0, 2, 3, 1]]


def test_ties_go_to_the_smaller_id_not_to_the_smaller_row() -> None:
    documents = DOCUMENTS.take(np.arange(12)[::-1])
    pool = fuse([ranked([0, 1]), ranked([1, 0])], documents, Fusion())
    assert order(pool) == [[1, 0]]  # d10 before d11


@given(SEEDS, st.integers(1, 12))
def test_the_depth_keeps_the_first(seed, depth) -> None:
    rng = np.random.default_rng(seed)
    lists = [random_list(rng), random_list(rng)]
    whole, cut = (order(fuse(lists, DOCUMENTS, Fusion(depth=end))) for end in (0, depth))
    assert cut == [row[:depth] for row in whole]


@given(SEEDS)
def test_a_query_is_fused_the_same_alone(seed) -> None:
    rng = np.random.default_rng(seed)
    lists = [random_list(rng), random_list(rng), random_list(rng)]
    for method in ("rrf", "minmax", "zscore"):
        whole = order(fuse(lists, DOCUMENTS, Fusion(method=method)))
        for query in range(3):
            own = [Ranked(one.documents[query, None], one.scores[query, None]) for one in lists]
            assert order(fuse(own, DOCUMENTS, Fusion(method=method))) == [whole[query]]


def test_a_document_that_a_list_names_twice_counts_once_at_its_better_rank() -> None:
    pool = fuse([ranked([0, 1, 0]), ranked([1])], DOCUMENTS, Fusion())
    assert order(pool) == [[1, 0]]


def test_nobody_found_anything() -> None:
    nothing = Ranked(np.zeros((2, 0), np.int64), np.zeros((2, 0), np.float32))
    for method in ("rrf", "minmax", "zscore"):
        pool = fuse([nothing, nothing], DOCUMENTS.slice(0, 0), Fusion(method=method))
        assert len(pool) == 0
        assert pool.queries == 2
    assert len(filled(pool, np.zeros((2, 0), np.int64))) == 0


def test_weights_must_be_one_a_source() -> None:
    with pytest.raises(ValueError, match="2 weights for 1 sources"):
        fuse([ranked([0])], DOCUMENTS, Fusion(weights=(1, 2)))


def test_documents_drawn_at_random_come_last_and_only_where_new() -> None:
    pool = filled(
        fuse([ranked([3, 1], [2])], DOCUMENTS, Fusion()), np.array([[1, 5, -1], [4, 4, 2]])
    )
    assert order(pool) == [[3, 1, 5], [2, 4]]
    assert pool.rank.tolist() == [0, 1, 2, 0, 1]
    assert pool.sources.tolist() == [1, 1, 0, 1, 0]
    assert np.isnan(pool.score[pool.sources == 0]).all()


def test_who_proposed_a_document_is_told_by_name() -> None:
    told = proposers(np.array([0, 1, 2, 3, 5]), ["dense", "bm25", "old"])
    assert told.to_pylist() == ["random", "dense", "bm25", "dense+bm25", "dense+old"]


def test_the_small_world_has_both_kinds_of_candidates() -> None:
    case = world(0).case(range(6))
    assert set(case.pool.sources.tolist()) == {0, 1, 2, 3}
    assert all(ids_of(case.pool, case.asked.ids).values())
