"""Modules of a sentence-transformers folder."""

import json

import pytest

from operators import modules
from operators.errors import ModelError
from tests.tiny_models import build_bert, edit_json, old_spelling


@pytest.fixture
def folder(tmp_path):
    return build_bert(tmp_path / "model", dense=8)


def retype(folder, place, kind):
    entries = json.loads((folder / "modules.json").read_text())
    entries[place]["type"] = kind
    (folder / "modules.json").write_text(json.dumps(entries))


def test_pooling_dense_and_normalize_are_read_in_their_order(folder):
    found = modules.read_modules(folder, "m")
    assert found.pooling == modules.Pooling(("mean",), include_prompt=True)
    dense, normalize = found.head
    assert (dense.inputs, dense.outputs, dense.activation, dense.bias) == (32, 8, "Tanh", True)
    assert normalize == modules.Normalize()
    assert found.declared


def test_a_bare_transformer_has_no_modules(tmp_path):
    found = modules.read_modules(tmp_path, "m")
    assert (found.pooling, found.head, found.declared) == (None, (), False)


def test_the_old_spelling_means_the_same(folder):
    new = modules.read_modules(folder, "m")
    old_spelling(folder)
    assert modules.read_modules(folder, "m") == new
    assert modules.identity(modules.read_modules(folder, "m")) == modules.identity(new)


def test_several_modes_are_kept_in_their_order(folder):
    edit_json(folder / "1_Pooling" / "config.json", pooling_mode=["lasttoken", "cls"])
    assert modules.read_modules(folder, "m").pooling.modes == ("last", "cls")


@pytest.mark.parametrize(
    ("place", "kind", "said"),
    [
        (2, "sentence_transformers.models.LSTM", "module sentence_transformers.models.LSTM is not"),
        (0, "sentence_transformers.models.WordEmbeddings", "first module should be a Transformer"),
        (1, "my_code.Pooling", "module my_code.Pooling is code of its own"),
        (3, "sentence_transformers.models.Pooling", "is not supported where it stands"),
    ],
)
def test_a_module_that_is_not_supported_is_named(folder, place, kind, said):
    retype(folder, place, kind)
    with pytest.raises(ModelError, match=said):
        modules.read_modules(folder, "m")


def test_dropout_does_nothing(folder):
    retype(folder, 3, "sentence_transformers.models.Dropout")
    assert len(modules.read_modules(folder, "m").head) == 1


@pytest.mark.parametrize(
    ("path", "change", "said"),
    [
        ("1_Pooling", {"pooling_mode": "median"}, "pooling mode 'median' is not known"),
        ("2_Dense", {"module_input_name": "token_embeddings"}, "works on token_embeddings"),
    ],
)
def test_a_setting_that_is_not_supported_is_named(folder, path, change, said):
    edit_json(folder / path / "config.json", **change)
    with pytest.raises(ModelError, match=said):
        modules.read_modules(folder, "m")


def test_a_dense_module_without_safetensors_is_refused(folder):
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"2_Dense has no model.safetensors"):
        modules.read_modules(folder, "m")


def test_a_dense_module_of_another_width_is_refused(folder):
    head = modules.read_modules(folder, "m").head
    assert modules.output_dim(32, head, "m") == 8
    with pytest.raises(ModelError, match="takes 32 values, not 64"):
        modules.output_dim(64, head, "m")


def test_broken_json_is_named(folder):
    (folder / "modules.json").write_text("[{")
    with pytest.raises(ModelError, match=r"modules.json is not valid JSON"):
        modules.read_modules(folder, "m")


@pytest.mark.parametrize(
    "change", [{"activation_function": "torch.nn.modules.linear.Identity"}, {"use_residual": True}]
)
def test_a_changed_dense_module_has_another_identity(folder, change):
    before = modules.identity(modules.read_modules(folder, "m"))
    edit_json(folder / "2_Dense" / "config.json", **change)
    assert modules.identity(modules.read_modules(folder, "m")) != before
