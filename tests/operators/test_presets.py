"""Presets: what they name, that each family goes through the one loop, and what is refused."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from operators import columns, families, presets
from operators.arrays import to_matrix
from operators.base import Resources
from operators.encode.embedder import build
from operators.encode.encode import Encode
from operators.encode.shape import decide
from operators.errors import ModelError
from operators.model import Model, resolve
from operators.presets import PRESETS
from operators.text.tokenizer import Tokenize
from tests.preset_models import FAMILIES, build_preset
from tests.tiny_models import edit_json

KINDS = dict(zip(FAMILIES, ("encoder", "decoder", "encoder-half"), strict=True))
TEXTS = ["the fox of 12", "a", "of the and " * 12]
ROOT = Path(presets.__file__).parents[1]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("presets")
    return cache(lambda name: build_preset(home / name, name))


def encoded(model: Model, texts: list[str]) -> np.ndarray:
    table = pa.table({"id": [str(n) for n in range(len(texts))], "text": texts})
    on = Resources(device="cpu", token_budget=256)
    with Tokenize(model).open() as tokenize, Encode(model).open(on) as encode:
        out = encode(tokenize(table))
    return to_matrix(out["embedding"], columns.dim_of(out.schema.field("embedding")))


def embedder(folder: Path):
    found = resolve(Model(str(folder)))
    shape = decide(found, "m", "auto", None)
    return build(found, "m", shape, "fp32", torch.device("cpu"))


def test_ettin_has_a_decoder_of_the_size_of_each_encoder():
    for name, found in PRESETS.items():
        if name.startswith("ettin-encoder-") and "from" not in name:
            other = PRESETS[name.replace("encoder", "decoder")]
            assert found[3:] == other[3:]
            assert (found.kind, other.kind) == ("encoder", "decoder")
    assert len(PRESETS) == 27


@pytest.mark.parametrize("name", PRESETS)
def test_the_config_of_a_preset_is_one_that_transformers_builds(name):
    from transformers import AutoConfig

    config = AutoConfig.for_model(**PRESETS[name].config())
    assert families.width(config.to_dict()) == PRESETS[name].hidden
    assert families.kind(config.to_dict()) == PRESETS[name].kind


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_goes_through_the_one_loop(folders, name):
    model = Model(str(folders(name)), family=KINDS[name])
    together = encoded(model, TEXTS)
    alone = np.concatenate([encoded(model, [text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    modes = decide(resolve(model), "m", "auto", None).pooling
    assert modes == (("last",) if KINDS[name] == "decoder" else ("mean",))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_last_token_moves_the_first_state_unless_it_is_a_decoder(folders, name):
    backend = embedder(folders(name)).backend
    ids = torch.tensor([[2, 9, 14, 20, 3], [2, 9, 14, 20, 30]])
    with torch.inference_mode():
        states = backend.states(ids, None)
    moved = bool((states[0, 0] - states[1, 0]).abs().max() > 1e-6)
    assert moved == (KINDS[name] != "decoder")


@pytest.mark.parametrize("name", FAMILIES)
def test_padding_on_either_side_leaves_the_states_as_they_are(folders, name):
    backend = embedder(folders(name)).backend
    row, pad = [2, 9, 14, 20, 3], [0, 0, 0]
    ids = torch.tensor([row + pad, pad + row])
    mask = torch.tensor([[1] * 5 + [0] * 3, [0] * 3 + [1] * 5])
    with torch.inference_mode():
        states = backend.states(ids, mask)
    torch.testing.assert_close(states[0, :5], states[1, 3:], atol=1e-4, rtol=1e-4)


def test_a_decoder_is_no_encoder_unless_nobody_asked(folders):
    folder = str(folders("ettin-decoder-17m"))
    with pytest.raises(ModelError, match="is that of the family decoder, and encoder was asked"):
        resolve(Model(folder, family="encoder"))
    assert resolve(Model(folder)).is_decoder
    assert resolve(Model(folder, family="decoder")).is_decoder


def test_a_decoders_weights_under_an_encoders_config_are_refused(folders, tmp_path):
    folder = build_preset(tmp_path / "m", "ettin-decoder-17m")
    edit_json(folder / "config.json", model_type="modernbert", architectures=["ModernBertModel"])
    model = Model(str(folder), family="encoder")
    with pytest.raises(ModelError, match="weights lack"), Encode(model).open():
        pass


def test_a_preset_is_looked_for_under_its_name_on_the_hub(tmp_path):
    code = """
from operators.errors import ModelError
from operators.model import Model, resolve
try:
    resolve(Model("ettin-encoder-17m"))
except ModelError as error:
    print(error)
"""
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert "model jhu-clsp/ettin-encoder-17m: neither a local folder nor" in done.stdout


def test_what_a_preset_names_must_be_of_its_family(folders, tmp_path, monkeypatch):
    folder = folders("ettin-decoder-17m")
    spoilt = PRESETS["ettin-encoder-17m"]._replace(path=str(folder))
    monkeypatch.setitem(PRESETS, "ettin-encoder-17m", spoilt)
    with pytest.raises(ModelError, match="encoder was asked"):
        resolve(Model("ettin-encoder-17m"))
    assert resolve(Model("ettin-encoder-17m", family="decoder")).width == 64


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build_preset(tmp_path / "ettin-encoder-17m", "ettin-decoder-17m")
    assert resolve(Model("ettin-encoder-17m")).is_decoder
