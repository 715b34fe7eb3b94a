"""Sentences about a config: where, what was found, what would be right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.base import Resources
from operators.text.source import Source
from pipelines.mistakes import Mistakes, did_you_mean, short
from pipelines.spec import Gate


def test_a_sentence_has_its_source_its_place_and_the_problem():
    mistakes = Mistakes("c.yaml")
    mistakes.add("phase a, step 2", "is odd")
    mistakes.add("", "is empty")
    assert mistakes.sentences == ["c.yaml: phase a, step 2: is odd", "c.yaml: is empty"]


@pytest.mark.parametrize(
    ("word", "choices", "hint"),
    [
        ("shceme", ["scheme", "center"], "; did you mean 'scheme'?"),
        ("zzz", ["scheme", "center"], "; there are: center, scheme"),
        ("zzz", [], "; there is none"),
        (7, ["seven", 8], "; there are: 8, seven"),
    ],
)
def test_a_wrong_name_gets_the_nearest_or_all_of_them(word, choices, hint):
    assert did_you_mean(word, choices) == hint


@given(st.text(min_size=4, max_size=12), st.integers(0, 11))
def test_a_name_with_one_letter_missing_is_always_recognised(name, place):
    place %= len(name)
    assert repr(name) in did_you_mean(name[:place] + name[place + 1 :], [name])


def test_a_good_mapping_is_built_and_leaves_no_sentence():
    mistakes = Mistakes("c")
    assert mistakes.build("resources", Resources, {"workers": 2}) == Resources(workers=2)
    assert mistakes.sentences == []


def test_all_mistakes_of_one_mapping_are_told():
    mistakes = Mistakes("c")
    assert mistakes.build("r", Resources, {"workers": 0, "gpu": 1, "cpus": "many"}) is None
    assert mistakes.sentences == [
        "c: r: field 'workers': expected a number from 1 on or [least, most], found 0",
        "c: r: field 'cpus': input should be a valid number, unable to parse string as a number, "
        "found 'many'",
        "c: r: no field 'gpu'; did you mean 'gpus'?",
    ]


def test_what_is_no_field_of_a_config_is_never_suggested():
    mistakes = Mistakes("c")
    mistakes.build("r", Source, {"nam": 1})
    (sentence,) = mistakes.sentences
    assert "'name'" not in sentence


@pytest.mark.parametrize("values", [None, 3, "x", ["workers"]])
def test_a_value_instead_of_fields_is_a_mistake(values):
    mistakes = Mistakes("c")
    assert mistakes.build("r", Resources, values) is None
    assert mistakes.sentences == [f"c: r: expected a mapping of fields, found {values!r}"]


def test_a_list_that_is_too_short_names_the_list():
    mistakes = Mistakes("c")
    assert mistakes.build("gate", Gate, {"norm": [1]}) is None
    assert mistakes.sentences == ["c: gate: field 'norm': too few values, found [1]"]


def test_a_secret_is_left_out_of_every_sentence():
    mistakes = Mistakes("c")
    mistakes.build("read", Source, "s3://user:pa/ss@lake/x")
    mistakes.build("read", Source, {"text": {"s3://user:pass@lake": 1}})
    assert "user" not in "".join(mistakes.sentences)
    assert "pa/ss" not in "".join(mistakes.sentences)
    assert "s3://***@lake" in mistakes.sentences[0]


@given(st.text())
def test_a_value_is_shown_on_one_short_line(value):
    shown = short(value)
    assert len(shown) <= 60
    assert "\n" not in shown
