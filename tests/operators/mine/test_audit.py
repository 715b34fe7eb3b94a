import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.mine.audit import AUDIT, Masking, Mined, columns, hidden
from operators.mine.rules import apply, rule
from operators.mine.selection import Selection, select
from tests.mined import pairs, simple, world

SEEDS = st.integers(0, 10_000)
RULES = (rule("duplicate-text", {}), rule("nv-mine", {"share": 0.9}))


def audited(case, rules=RULES, selection=None, masking=None) -> pa.Table:
    selection = selection or Selection(negatives=2)
    verdict = apply(rules, case)
    selected = select(case.pool.only(verdict.kept), case.asked.ids, selection, case.positives)
    return columns(Mined(case, tuple(rules), selection, verdict, selected), masking or Masking())


def test_hidden_positives_are_followed_through_every_rule_to_selection() -> None:
    scores = [[0.9, 0.85, 0.5, 0.1], [0.9, 0.5, 0.4, 0.3], [0.9, 0.8, 0.7, 0.6]]
    positives = pairs((0, 0, 0.9), (0, 1, 0.85), (1, 0, 0.9), (1, 1, 0.5), (2, 0, 0.9))
    table = audited(simple(scores, positives))
    # one of two is hidden: in the first query they are near, the margin drops the one hidden
    assert table["masked"].to_pylist() == [1, 1, 0]
    assert table["masked_found"].to_pylist() == [1, 1, 0]
    first, second, third = table["masked_left"].to_pylist()
    assert first == [1, 1, 1, 1, 0]
    assert second[:4] == [1, 1, 1, 1]
    assert third == [0, 0, 0, 0, 0]
    assert table["masked_mined"][0].as_py() == 0
    assert table["masked_mined"][1].as_py() == second[-1]


def test_a_hidden_positive_that_no_source_proposed_is_masked_but_not_found() -> None:
    case = simple([[0.9, 0.8, 0.1]], pairs((0, 0, 0.9), (0, 2, 0.1)), depth=2)
    for seed in range(8):
        masking = Masking(seed=seed)
        table = audited(case, masking=masking)
        found = 1 if hidden(case, masking)[0] else 0
        assert table["masked"].to_pylist() == [1]
        assert table["masked_found"].to_pylist() == [found]


@given(SEEDS, st.sampled_from([0.1, 0.5, 0.99]))
def test_of_two_or_more_positives_some_are_hidden_and_some_stay(seed, share) -> None:
    case = world(seed).case(range(6))
    marks = hidden(case, Masking(share=share))
    had = np.bincount(case.positives.query, minlength=6)
    gone = np.bincount(case.positives.query[marks], minlength=6)
    assert (gone[had < 2] == 0).all()
    assert (gone[had >= 2] >= 1).all()
    assert (gone[had >= 2] < had[had >= 2]).all()


def test_a_share_of_nothing_hides_nothing() -> None:
    case = simple([[0.9, 0.8]], pairs((0, 0, 0.9), (0, 1, 0.8)))
    assert audited(case, masking=Masking(share=0))["masked"].to_pylist() == [0]


@given(SEEDS, st.permutations(range(6)), st.integers(0, 6))
def test_every_column_belongs_to_its_query_alone(seed, order, cut) -> None:
    there = world(seed)
    whole = _by_query(there, range(6))
    parts = [_by_query(there, part) for part in (order[:cut], order[cut:])]
    assert parts[0] | parts[1] == whole


@given(SEEDS)
def test_what_is_left_of_the_hidden_only_shrinks(seed) -> None:
    case = world(seed).case(range(6))
    for row in audited(case, selection=Selection(negatives=20)).to_pylist():
        steps = [row["masked"], row["masked_found"], *row["masked_left"], row["masked_mined"]]
        assert steps == sorted(steps, reverse=True)
        assert len(row["masked_left"]) == 3 + len(RULES)


def test_examples_are_what_named_rules_dropped_with_their_places() -> None:
    texts = ["same", "same", "b", "c", "d"]
    case = simple([[0.9, 0.89, 0.88, 0.87, 0.2]], pairs((0, 0, 0.9)), texts)
    row = audited(case, masking=Masking(examples=9)).to_pylist()[0]
    assert row["dropped_ids"] == ["d1", "d2", "d3"]
    assert row["dropped_by"] == ["duplicate-text", "nv-mine", "nv-mine"]
    assert row["dropped_scores"] == pytest.approx([0.89, 0.88, 0.87])
    assert row["dropped_rows"] == [1, 2, 3]
    assert row["dropped_files"] == ["corpus"] * 3
    assert row["dropped_hashes"] == case.pool.documents["content_hash"].to_pylist()[1:4]
    assert len(audited(case).to_pylist()[0]["dropped_ids"]) == 2


def test_a_unit_without_queries_has_an_empty_audit() -> None:
    table = audited(world(0).case([]))
    assert table.schema == AUDIT
    assert len(table) == 0


def _by_query(there, numbers) -> dict[str, dict]:
    case = there.case(numbers)
    table = audited(case, masking=Masking(share=0.5))
    assert table.schema == AUDIT
    return dict(zip(case.asked.ids.to_pylist(), map(str, table.to_pylist()), strict=True))
