import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.mine.rules import ALWAYS, RULES, apply, names_of, rule
from operators.mine.selection import Selection
from tests.mined import NEUTRAL, mined, pairs, simple, world

OPTIONS = {
    "absolute-margin": {"margin": 0.1},
    "near-duplicate": {"words": 2, "threshold": 0.5},
    "max-score": {"limit": 0.6},
    "min-score": {"limit": -0.3},
    "teacher": {"relevant": 1.0},
    "lg-mine": {"unscored": "keep"},
}
MADE = [rule(name, OPTIONS.get(name, {})) for name in RULES]
SEEDS = st.integers(0, 10_000)
SOME = st.lists(st.sampled_from(MADE), unique=True, max_size=5)
SELECTIONS = st.builds(
    Selection,
    negatives=st.integers(1, 6),
    range_min=st.integers(0, 3),
    sampling=st.sampled_from(["top", "random", "weighted"]),
    shortage=st.sampled_from(["fewer", "drop", "random"]),
    seed=st.integers(-3, 3),
)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_says_the_name_it_is_registered_by_and_what_it_needs(name) -> None:
    made = rule(name, OPTIONS.get(name, {}))
    assert made.name == name
    assert made.needs <= {"texts", "parents", "teacher", "scores"}


def test_a_misspelt_rule_is_told_what_is_near() -> None:
    with pytest.raises(ValueError, match="no rule 'sibling'; did you mean 'siblings'"):
        rule("sibling", {})


def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(ValueError, match="shares"):
        rule("nv-mine", {"shares": 0.9})


def test_a_rule_named_twice_is_refused() -> None:
    twice = [rule("nv-mine", {}), rule("nv-mine", {"share": 0.5})]
    with pytest.raises(ValueError, match="'nv-mine' is named twice"):
        names_of(twice)


def test_positives_and_what_has_no_score_go_without_being_named() -> None:
    case = simple([[0.9, math.nan, 0.5, -math.inf]], pairs((0, 0, 0.9)))
    assert apply([], case).rules == tuple(always.name for always in ALWAYS)
    assert mined(case, [], Selection()) == {"q0": ["d2"]}


@given(SEEDS, SOME, SELECTIONS)
def test_a_negative_is_no_positive_has_a_score_stands_once_and_no_rule_drops_it(
    seed, rules, selection
) -> None:
    there = world(seed)
    case = there.case(range(6))
    row = {name: number for number, name in enumerate(there.documents["id"].to_pylist())}
    own = {name: number for number, name in enumerate(there.query_ids)}
    alone = {
        (query, document)
        for one in (*ALWAYS, *rules)
        for query, document in _pairs(case, one.drops(case))
    }
    for name, ids in mined(case, rules, selection).items():
        assert len(ids) <= selection.negatives
        texts = [there.texts[row[document]] for document in ids]
        assert len(set(texts)) == len(texts)
        for document in ids:
            assert np.isfinite(there.scores[own[name], row[document]])
            assert there.grades[own[name], row[document]] not in (1, NEUTRAL)
            assert (own[name], row[document]) not in alone


@given(SEEDS, SOME, SELECTIONS, st.permutations(range(6)), st.integers(0, 6))
def test_neither_the_order_of_queries_nor_the_cut_of_the_unit_changes_anything(
    seed, rules, selection, order, cut
) -> None:
    there = world(seed)
    whole = mined(there.case(range(6)), rules, selection)
    parts = [mined(there.case(part), rules, selection) for part in (order[:cut], order[cut:])]
    assert parts[0] | parts[1] == whole


@given(SEEDS, SOME)
def test_the_candidates_are_those_kept_and_those_dropped(seed, rules) -> None:
    case = world(seed).case(range(6))
    verdict = apply(rules, case)
    proposed = case.pool.sources != 0
    counts = verdict.counts(case.pool)
    assert counts.shape == (6, len(verdict.rules))
    kept = np.bincount(case.pool.query[verdict.kept & proposed], minlength=6)
    everything = np.bincount(case.pool.query[proposed], minlength=6)
    assert np.array_equal(kept + counts.sum(axis=1), everything)


@given(SEEDS, SOME)
def test_the_first_rule_that_drops_a_candidate_is_the_one_that_counts(seed, rules) -> None:
    case = world(seed).case(range(6))
    verdict = apply(rules, case)
    ordered = [rule(name, OPTIONS.get(name, {})) for name in verdict.rules]
    marks = np.array([one.drops(case) for one in ordered])
    first = np.where(marks.any(axis=0), marks.argmax(axis=0), -1)
    assert np.array_equal(verdict.dropped_by, first)


@given(SEEDS, SOME)
def test_a_unit_without_queries_has_nothing_to_judge(seed, rules) -> None:
    case = world(seed).case([])
    assert apply(rules, case).counts(case.pool).shape == (0, len(names_of(rules)))
    assert mined(case, rules, Selection()) == {}


def _pairs(case, marks):
    return zip(case.pool.query[marks].tolist(), case.pool.document[marks].tolist(), strict=True)
