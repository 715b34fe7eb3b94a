"""What vector an encoder makes, decided before it is loaded."""

import pytest

from operators.encode.shape import decide
from operators.errors import ModelError
from operators.model import Model, resolve
from operators.modules import Normalize
from tests.tiny_models import BUILDERS, build_bert, edit_json


def shape(folder, pooling="auto", normalize=None):
    return decide(resolve(Model(str(folder))), "m", pooling, normalize)


def test_the_folders_modules_decide(tmp_path):
    found = shape(build_bert(tmp_path / "m", pooling="lasttoken", dense=8))
    assert (found.pooling, found.dim, found.guessed) == (("last",), 8, False)
    assert [type(module).__name__ for module in found.head] == ["Dense", "Normalize"]


@pytest.mark.parametrize(("kind", "pooling"), [("roberta", "mean"), ("gpt2", "last")])
def test_a_bare_model_gets_what_its_attention_suggests_at_length_one(tmp_path, kind, pooling):
    found = shape(BUILDERS[kind](tmp_path / kind))
    assert (found.pooling, found.head, found.guessed) == ((pooling,), (Normalize(),), True)


def test_the_config_wins(tmp_path):
    folder = build_bert(tmp_path / "m")
    assert shape(folder, "cls").pooling == ("cls",)
    assert shape(folder, "auto", normalize=False).head == ()
    assert shape(folder, "auto", normalize=True).head == (Normalize(),)


def test_a_folder_without_normalize_is_left_so_unless_asked(tmp_path):
    folder = build_bert(tmp_path / "m")
    modules = (folder / "modules.json").read_text()
    start = modules.index(', {"idx": 2')
    (folder / "modules.json").write_text(modules[:start] + "]")
    assert shape(folder).head == ()
    assert shape(folder, normalize=True).head == (Normalize(),)


def test_joined_poolings_are_as_wide_as_all_of_them(tmp_path):
    folder = build_bert(tmp_path / "m")
    edit_json(folder / "1_Pooling" / "config.json", pooling_mode=["mean", "max"])
    assert shape(folder).dim == 64
    assert shape(folder, "cls").dim == 32


def test_another_pooling_must_still_fit_the_dense_layer(tmp_path):
    folder = build_bert(tmp_path / "m", dense=8)
    edit_json(folder / "1_Pooling" / "config.json", pooling_mode=["mean", "max"])
    edit_json(folder / "2_Dense" / "config.json", in_features=64)
    assert shape(folder).dim == 8
    with pytest.raises(ModelError, match="takes 64 values, not 32"):
        shape(folder, "mean")
