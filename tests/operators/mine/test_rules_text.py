from dataclasses import replace

import pytest

from operators.mine.rules_text import NearDuplicate
from tests.mined import dropped, pairs, simple

LONG = "the gull keeps over one salt rock until noon came and went"


def near(rule, positive, *others):
    """Which of the other texts the rule takes for the positive's."""
    case = simple([[0.0] * (1 + len(others))], pairs((0, 0, 0.0)), [positive, *others])
    return [f"d{number}" in dropped(case, rule)[0] for number in range(1, 1 + len(others))]


def test_case_spacing_and_punctuation_do_not_count() -> None:
    assert near(NearDuplicate(), LONG, LONG.upper() + "!", LONG.replace(" ", ",\n\t")) == [True] * 2


def test_a_changed_word_costs_the_runs_it_stands_in() -> None:
    changed = LONG.replace("went", "left")  # 9 of the 10 runs of three words of each
    assert near(NearDuplicate(threshold=9 / 11), LONG, changed) == [True]
    assert near(NearDuplicate(threshold=0.83), LONG, changed) == [False]


def test_the_order_of_words_counts() -> None:
    assert near(NearDuplicate(threshold=0.1), LONG, " ".join(reversed(LONG.split()))) == [False]


def test_containment_finds_a_part_of_the_positive_and_a_text_that_holds_it() -> None:
    part, whole = "keeps over one salt rock", f"once upon a time {LONG} and so on and so on"
    assert near(NearDuplicate(measure="containment"), LONG, part, whole) == [True, True]
    assert near(NearDuplicate(measure="jaccard"), LONG, part, whole) == [False, False]


def test_texts_of_fewer_words_than_a_run_are_compared_whole() -> None:
    assert near(NearDuplicate(), "salt rock", "Salt rock.", "salt", "rock salt") == [
        True,
        False,
        False,
    ]


def test_texts_without_a_word_are_like_nothing() -> None:
    assert near(NearDuplicate(threshold=0.01), "...", "...", "", "rock") == [False] * 3


def test_words_of_any_script_are_words() -> None:
    assert near(NearDuplicate(), "Ёлка стоит в лесу", "ёлка, стоит в лесу!") == [True]
    assert near(NearDuplicate(), "naïve café", "naive cafe") == [False]


def test_a_positive_of_another_query_does_not_count() -> None:
    case = simple([[0.0, 0.0], [0.0, 0.0]], pairs((1, 0, 0.0)), [LONG, LONG])
    assert dropped(case, NearDuplicate()) == [set(), {"d0", "d1"}]


def test_without_texts_the_rule_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="needs the texts"):
        NearDuplicate().drops(replace(simple([[0.5]], pairs()), texts=None))
