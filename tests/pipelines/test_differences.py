"""A run says which fields of its recipe changed."""

import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.differences import differences
from pipelines.plan import plan_phase
from pipelines.plan import readable as recipe_of
from tests.pipeline_builders import built, good_rows, lines, vectors_phase, write_files
from tests.tiny_models import build_bert

values = st.recursive(
    st.one_of(st.integers(0, 3), st.text("ab", max_size=2)),
    lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)
steps = st.lists(st.builds(lambda v: {"operator": "encode", "field": v}, values), max_size=2)
recipes = st.fixed_dictionaries({"read": st.dictionaries(st.just("id"), values), "steps": steps})


@given(recipes, recipes)
def test_recipes_that_differ_have_a_difference_and_equal_ones_none(one, other):
    assert (differences(one, other) == ()) == (one == other)


@pytest.fixture
def docs(tmp_path):
    return write_files(f"{tmp_path}/docs", {"a.jsonl": lines(good_rows(0, 3))})


def recipe(model, docs, tmp_path, **parts):
    (phase,) = built(model, vectors=vectors_phase(docs, f"{tmp_path}/t", **parts)).phases
    return recipe_of(plan_phase(phase))


CHANGES = [
    ({"encode": {"pooling": "cls"}}, "encode.pooling changed from 'auto' to 'cls'"),
    ({"encode": {"precision": "bf16"}}, "encode.precision changed from 'fp32' to 'bf16'"),
    ({"encode": {"normalize": False}}, "encode.normalize changed from None to False"),
    ({"read": {"normalize": "NFC"}}, "read.normalize changed from 'none' to 'NFC'"),
    ({"read": {"separator": "|"}}, "read.separator changed from ' ' to '|'"),
    ({"quantize": {"scheme": "fp16"}}, "quantize.scheme changed from 'int8' to 'fp16'"),
]


@pytest.mark.parametrize(("parts", "sentence"), CHANGES)
def test_a_changed_setting_is_named_with_both_values(tiny_model, docs, tmp_path, parts, sentence):
    before, now = recipe(tiny_model, docs, tmp_path), recipe(tiny_model, docs, tmp_path, **parts)
    assert sentence in differences(before, now)


def test_new_weights_a_prompt_and_a_length_are_each_named_and_a_move_is_no_difference(
    docs, tmp_path
):
    before = recipe(build_bert(tmp_path / "one"), docs, tmp_path)
    shutil.copytree(tmp_path / "one", tmp_path / "moved")
    assert differences(before, recipe(tmp_path / "moved", docs, tmp_path)) == ()
    weights = recipe(build_bert(tmp_path / "two", seed=1), docs, tmp_path)
    assert differences(before, weights) == (
        "tokenize.model.weights model.safetensors changed",
        "encode.model.weights model.safetensors changed",
    )
    prompted = recipe(build_bert(tmp_path / "p", prompts={"passage": "text: "}), docs, tmp_path)
    assert any("prompt passage" in each for each in differences(before, prompted))
    shorter = recipe(build_bert(tmp_path / "s", max_length=32), docs, tmp_path)
    assert "encode.model.max_length changed from '64' to '32'" in differences(before, shorter)
