from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from operators.mine.fuse import filled
from operators.mine.rules import apply
from operators.mine.selection import Selection, select
from tests.mined import ids_of, mined, pairs, simple, table_of

SCORES = [[0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]]


def chosen(selection: Selection, texts=(), scores=SCORES) -> list[list[str]]:
    return list(mined(simple(scores, pairs(), texts), [], selection).values())


def test_top_takes_the_nearest_in_their_order() -> None:
    assert chosen(Selection(negatives=2)) == [["d0", "d1"]] * 2


def test_the_range_counts_what_the_rules_left() -> None:
    case = simple(SCORES, pairs((0, 0, 0.9), (1, 3, 0.6)))
    found = mined(case, [], Selection(negatives=2, range_min=1, range_max=4))
    assert found == {"q0": ["d2", "d3"], "q1": ["d1", "d2"]}


def test_sampling_stays_within_the_range_and_keeps_the_order_of_ranks() -> None:
    for sampling in ("random", "weighted"):
        for seed in range(20):
            wanted = Selection(negatives=2, range_min=1, range_max=5, sampling=sampling, seed=seed)
            for ids in chosen(wanted):
                assert set(ids) <= {"d1", "d2", "d3", "d4"}
                assert ids == sorted(ids)
                assert len(ids) == 2


def test_a_seed_repeats_its_draw_and_another_seed_and_another_query_draw_anew() -> None:
    draws = [chosen(Selection(negatives=3, sampling="random", seed=seed)) for seed in range(12)]
    assert draws[3] == chosen(Selection(negatives=3, sampling="random", seed=3))
    assert len({tuple(draw[0]) for draw in draws}) > 3
    assert any(draw[0] != draw[1] for draw in draws)


def shares(selection: Selection, scores) -> dict[str, float]:
    queries = 4000
    case = simple([scores] * queries, pairs())
    counts = Counter(name for ids in mined(case, [], selection).values() for name in ids)
    return {name: count / queries for name, count in counts.items()}


def test_random_draws_all_alike() -> None:
    found = shares(Selection(negatives=1, sampling="random"), [0.9, 0.5, 0.1, 0.0])
    assert found == pytest.approx({f"d{number}": 0.25 for number in range(4)}, abs=0.03)


def test_weighted_draws_by_the_softmax_of_scores() -> None:
    weights = np.exp(np.array([0.2, 0.1, 0.0]) / 0.1)
    expected = {f"d{number}": share for number, share in enumerate(weights / weights.sum())}
    found = shares(Selection(negatives=1, sampling="weighted", temperature=0.1), [0.2, 0.1, 0])
    assert found == pytest.approx(expected, abs=0.03)


def test_of_equal_texts_only_the_nearest_is_a_candidate() -> None:
    texts = ["a", "b", "a", "c", "b", "d"]
    assert chosen(Selection(negatives=4), texts) == [["d0", "d1", "d3", "d5"]] * 2
    assert chosen(Selection(negatives=2, range_min=2), texts) == [["d3", "d5"]] * 2


def test_a_document_without_a_hash_is_a_text_of_its_own() -> None:
    case = simple([[0.9, 0.8]], pairs())
    blank = case.pool.documents.set_column(1, "content_hash", pa.nulls(2, pa.binary()))
    case = replace(case, pool=replace(case.pool, documents=blank))
    assert mined(case, [], Selection()) == {"q0": ["d0", "d1"]}


def test_a_shortage_takes_fewer_leaves_the_query_out_or_fills_up_at_random() -> None:
    ids = pa.array(["q0", "q1"])
    case = simple([[0.9, 0.8, 0.7, 0.6], [0.9, 0.8, 0.7, 0.6]], pairs())
    only = case.pool.only((case.pool.query == 1) | (case.pool.rank < 1))
    pool = filled(only, np.array([[3, 0, 2], [1, 2, 3]]))
    few = {name: Selection(negatives=3, shortage=name) for name in ("fewer", "drop", "random")}
    found = {name: select(pool, ids, selection, pairs()) for name, selection in few.items()}
    kept = {name: ids_of(pool.only(one.kept), ids) for name, one in found.items()}
    assert kept["fewer"] == {"q0": ["d0"], "q1": ["d0", "d1", "d2"]}
    assert kept["drop"] == {"q0": [], "q1": ["d0", "d1", "d2"]}
    assert kept["random"] == {"q0": ["d0", "d3", "d2"], "q1": ["d0", "d1", "d2"]}
    assert all(one.short.tolist() == [True, False] for one in found.values())
    assert found["drop"].out.tolist() == [True, False]
    assert not found["fewer"].out.any()


def test_a_range_without_room_for_the_negatives_is_refused() -> None:
    with pytest.raises(ValueError, match="range_max 10 less range_min 5 leaves no room for 7"):
        Selection(negatives=7, range_min=5, range_max=10)


def test_the_depth_leaves_room_for_the_positives() -> None:
    assert Selection(range_max=50).depth(3) == 53
    assert Selection(negatives=4, range_min=10).depth(3) == 10 + 40 + 3 + 3


KINDS = ("a", "b", "a", None, "b", "b")


def of_kinds(positives, selection) -> dict[str, list[str]]:
    documents = table_of([f"text {row}" for row in range(6)], kinds=KINDS)
    return mined(simple(SCORES, positives, documents=documents), [], selection)


def test_local_negatives_come_on_top_and_have_the_kind_of_a_positive() -> None:
    positives = pairs((0, 5, 0.4), (1, 0, 0.9))
    found = of_kinds(positives, Selection(negatives=1, local=2))
    assert found == {"q0": ["d0", "d1", "d4"], "q1": ["d1", "d2"]}
    found = of_kinds(positives, Selection(negatives=2, local=1, range_max=2))
    assert found == {"q0": ["d0", "d1", "d4"], "q1": ["d1", "d2"]}
    nothing = of_kinds(pairs((0, 3, 0.6), (1, 3, 0.6)), Selection(negatives=1, local=5))
    assert nothing == {"q0": ["d0"], "q1": ["d0"]}


@pytest.mark.parametrize("sampling", ["top", "random", "weighted"])
def test_local_negatives_are_the_nearest_left_from_range_min_on_however_others_are_drawn(sampling):
    documents = table_of([f"text {row}" for row in range(12)], kinds=[*"a" * 3, "b", *"a" * 8])
    scores = [[1 - row / 20 for row in range(12)]] * 2
    case = simple(scores, pairs((0, 11, 0.4), (1, 11, 0.4)), documents=documents)
    alike = ["d2", *(f"d{row}" for row in range(4, 11))]  # d3 is of another kind, d11 the positive
    for seed in range(20):
        how = Selection(negatives=1, local=3, range_min=2, sampling=sampling, seed=seed)
        for ids in mined(case, [], how).values():
            left = [[name for name in alike if name != drawn][:3] for drawn in ids]
            assert any({*ids} == {*near, drawn} for near, drawn in zip(left, ids, strict=True))


def test_a_query_without_its_local_negatives_is_short() -> None:
    documents = table_of([f"text {row}" for row in range(6)], kinds=KINDS)
    case = simple(SCORES, pairs((0, 5, 0.4), (1, 0, 0.9)), documents=documents)
    left = case.pool.only(apply([], case).kept)
    told = select(left, case.asked.ids, Selection(negatives=1, local=2), case.positives)
    assert told.short.tolist() == [False, True]
    assert Selection(negatives=1, local=2).depth(0) == 30
