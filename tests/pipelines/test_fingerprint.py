"""Identity is content: what changes vectors changes the fingerprint, and nothing else does."""

import dataclasses
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from operators.base import Resources
from operators.encode.encode import Encode
from operators.model import Model
from operators.quantize.quantize import Quantize
from operators.text.source import Source
from operators.text.tokenizer import Tokenize
from pipelines.fingerprint import code_version, digest, fingerprints, run_key, step_identity
from pipelines.spec import Step
from tests.tiny_models import build_bert, edit_json

SOURCE = Source(uri="lake/docs", id="id", text=("text",))
ON = Resources()


def steps(
    model: Model,
    on: Resources = ON,
    tokenize: dict[str, Any] | None = None,
    encode: dict[str, Any] | None = None,
    scheme: str = "int8",
) -> tuple[Step, ...]:
    return (
        Step(Tokenize(model, **(tokenize or {}))),
        Step(Encode(model, **(encode or {})), on),
        Step(Quantize(scheme=scheme)),
    )


def recipe(*args: Any, source: Source = SOURCE, **named: Any) -> str:
    return fingerprints(source, steps(*args, **named))["recipe"]


@pytest.fixture
def folder(tmp_path, tiny_model) -> Path:
    """A model of its own, to be changed."""
    return Path(shutil.copytree(tiny_model, tmp_path / "copy"))


@pytest.mark.parametrize(
    "on",
    [
        Resources(workers=8),
        Resources(cpus=2.0),
        Resources(gpus=0.5),
        Resources(memory=1 << 30),
        Resources(device="cpu"),
        Resources(token_budget=512),
        Resources(threads=3),
    ],
)
def test_what_a_step_runs_on_is_not_identity(tiny_model, on):
    model = Model(str(tiny_model))
    assert recipe(model, on) == recipe(model)


@pytest.mark.parametrize("change", [{"unit_bytes": 77}, {"uri": "other/place"}])
def test_where_rows_lie_and_how_they_are_cut_is_not_identity(tiny_model, change):
    model = Model(str(tiny_model))
    assert recipe(model, source=replace(SOURCE, **change)) == recipe(model)


READ: dict[str, object] = {
    "separator": "\n",
    "normalize": "NFC",
    "text": ("title", "text"),
    "id": "name",
    "keep": ("title",),
    "limit": 10,
    "sample": 0.5,
    "seed": 7,
    "max_text_bytes": 1000,
    "part": "queries",
    "newlines_in_values": True,
}
ASIDE = {
    "uri": "a place",
    "phase": "a place",
    "unit_bytes": "how rows are cut",
    "version": "in the snapshot of what is read",
    "format": "in another one the columns are not there, which stops the plan",
}
"""Fields of a source that are no identity, and why."""


@pytest.mark.parametrize("change", [{name: value} for name, value in READ.items()], ids=str)
def test_which_rows_are_read_and_how_is_identity(tiny_model, change):
    model = Model(str(tiny_model))
    assert recipe(model, source=replace(SOURCE, **change)) != recipe(model)


def test_every_field_of_a_source_is_identity_or_is_known_to_be_none():
    fields = {field.name for field in dataclasses.fields(Source)}
    assert fields == READ.keys() | ASIDE.keys()
    assert not READ.keys() & ASIDE.keys()


def test_what_a_source_leaves_at_its_default_keeps_the_recipes_of_earlier_releases():
    assert fingerprints(SOURCE, ())["recipe"] == "4f0a6a2c94bc89ce4dd605a262fd3438"


@pytest.mark.parametrize(
    "change",
    [
        {"encode": {"precision": "bf16"}},
        {"encode": {"pooling": "cls"}},
        {"encode": {"normalize": False}},
        {"tokenize": {"prompt": "query: "}},
        {"tokenize": {"role": "query"}},
        {"tokenize": {"max_length": 16}},
        {"scheme": "binary"},
    ],
)
def test_every_field_that_changes_the_output_is_identity(tiny_model, change):
    model = Model(str(tiny_model))
    assert recipe(model, **change) != recipe(model)


@pytest.mark.parametrize(
    "change", [{"max_length": 16}, {"prompts": {"passage": "passage: "}}], ids=str
)
def test_what_a_model_is_declared_with_is_identity(tiny_model, change):
    assert recipe(Model(str(tiny_model), **change)) != recipe(Model(str(tiny_model)))


def test_a_model_that_is_moved_or_renamed_stays_the_same(tiny_model, folder):
    moved = folder.rename(folder.parent / "another name")
    edit_json(moved / "config.json", _name_or_path="another/name")
    assert recipe(Model(str(moved))) == recipe(Model(str(tiny_model)))


def test_new_weights_under_an_old_name_change_everything(tiny_model, folder, tmp_path):
    other = build_bert(tmp_path / "other", seed=1)
    shutil.copy(other / "model.safetensors", folder / "model.safetensors")
    assert recipe(Model(str(folder))) != recipe(Model(str(tiny_model)))


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("tokenizer.json", {"truncation": {"max_length": 5}}),
        ("config.json", {"layer_norm_eps": 0.5}),
        ("1_Pooling/config.json", {"pooling_mode": "cls"}),
    ],
)
def test_every_file_of_a_model_that_matters_is_identity(tiny_model, folder, file, change):
    edit_json(folder / file, **change)
    assert recipe(Model(str(folder))) != recipe(Model(str(tiny_model)))


def test_a_codec_has_a_fingerprint_of_its_own(tiny_model):
    model = Model(str(tiny_model))
    int8, bits = (
        fingerprints(SOURCE, steps(model, scheme=scheme)) for scheme in ("int8", "binary")
    )
    assert int8["encoding"] == bits["encoding"]
    assert int8["codec"] != bits["codec"]
    assert int8["recipe"] != bits["recipe"]
    assert fingerprints(SOURCE, steps(model)[:2])["codec"] == ""


def test_an_artefact_is_identified_by_its_digest_not_its_place():
    here, there, other = (
        step_identity(Quantize(scheme="binary", center="median", artefact=place))
        for place in ("lake/a/aa.safetensors", "s3://b/aa.safetensors", "lake/a/bb.safetensors")
    )
    assert here == there
    assert here != other


def test_another_version_of_an_operator_is_another_recipe():
    @dataclass(frozen=True)
    class Newer(Quantize):
        version = 2

    assert step_identity(Newer()) != step_identity(Quantize())


def test_what_a_model_runs_in_is_identity_by_its_minor_version(tiny_model):
    identity = step_identity(Encode(Model(str(tiny_model))))
    assert set(identity["backend"]) == {"torch", "transformers"}
    assert all(version.count(".") == 1 for version in identity["backend"].values())
    assert "backend" not in step_identity(Tokenize(Model(str(tiny_model))))


def test_a_field_without_a_stable_form_is_refused():
    @dataclass(frozen=True)
    class Odd:
        choices: frozenset[str]
        name = "odd"
        version = 1
        loads_model = False

    with pytest.raises(TypeError, match="frozenset has no stable identity"):
        step_identity(Odd(frozenset({"a"})))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        digest(object())


def test_a_run_is_named_by_recipe_source_and_parent():
    keys = {
        run_key("r", "s", 0),
        run_key("x", "s", 0),
        run_key("r", "x", 0),
        run_key("r", "s", 1),
        run_key("r", "s", 0, "again"),
    }
    assert len(keys) == 5
    assert run_key("r", "s", 0) == run_key("r", "s", 0)
    assert all(len(key) == 32 for key in keys)


def test_a_digest_does_not_depend_on_the_order_of_keys():
    assert digest({"a": 1, "b": [2, None]}) == digest({"b": [2, None], "a": 1})
    assert digest([1, 2]) != digest([2, 1])
    assert digest("ü") != digest("u")


def test_the_code_names_its_version():
    assert code_version()


def test_another_prompt_for_queries_embeds_no_passage_again(folder):
    plain = Model(str(folder))
    prompted = Model(str(folder), prompts={"query": "query: "})
    assert recipe(prompted) == recipe(plain)
    queries = {"role": "query"}
    assert recipe(prompted, tokenize=queries) != recipe(plain, tokenize=queries)
