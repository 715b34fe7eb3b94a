"""Fewer layers and fewer values: what is kept is what the whole model has there."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from operators import columns
from operators.arrays import to_matrix
from operators.base import Resources
from operators.encode import depth, torch_backend
from operators.encode.encode import Encode
from operators.errors import ModelError
from operators.model import Model, resolve
from operators.text.tokenizer import Tokenize
from tests.tiny_models import BUILDERS, build_bert, build_llama, edit_json
from tests.windowed_models import WINDOWED

SCHEMA = pa.schema([columns.ID, columns.INPUT_IDS])
ALL = {**BUILDERS, **WINDOWED}
IDS = torch.tensor([[2, 9, 14, 30, 3, 8]])


def step(folder, *, normalize=None, **fields):
    return Encode(Model(str(folder)), normalize=normalize, strategy={"kind": "2dmse", **fields})


def vectors(folder, encode, dim):
    table = pa.table({"id": ["a", "b"], "text": ["the quick fox", "x"]})
    with Tokenize(Model(str(folder))).open() as tokenize:
        table = tokenize(table)
    with encode.open(Resources(device="cpu")) as apply:
        return to_matrix(apply(table)["embedding"], dim)


@pytest.mark.parametrize("kind", ALL)
@torch.inference_mode()
def test_a_cut_model_gives_the_layers_state_behind_the_familys_final_norm(tmp_path, kind):
    folder = resolve(Model(str(ALL[kind](tmp_path / kind))))
    whole = torch_backend.network(folder, kind, "fp32").eval()
    wanted = whole(input_ids=IDS, output_hidden_states=True).hidden_states[1]
    if depth.final_norm(folder) == "applied":
        wanted = whole.get_submodule(depth.FINAL_NORMS[folder.model_type])(wanted)
    cut = torch_backend.network(folder, kind, "fp32").eval()
    weights = sum(each.numel() for each in cut.parameters())
    depth.cut(cut, depth.depth(folder, kind, "2dmse"), 1)
    assert sum(each.numel() for each in cut.parameters()) < weights
    torch.testing.assert_close(cut(input_ids=IDS)[0], wanted, atol=1e-6, rtol=0)
    if depth.final_norm(folder) == "applied":
        depth.without_final_norm(cut, folder)
        states = whole(input_ids=IDS, output_hidden_states=True).hidden_states[1]
        torch.testing.assert_close(cut(input_ids=IDS)[0], states, atol=1e-6, rtol=0)


@pytest.mark.parametrize("normalize", [False, True])
def test_the_first_values_are_those_of_the_whole_vector(tmp_path, normalize):
    folder = build_bert(tmp_path / "m")
    whole = vectors(folder, Encode(Model(str(folder)), normalize=False), 32)
    found = vectors(folder, step(folder, dims=8, normalize=normalize), 8)
    wanted = whole[:, :8]
    if normalize:
        wanted = wanted / np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_the_column_says_what_was_kept(tmp_path):
    for build, norm in ((build_bert, b"none"), (build_llama, b"applied")):
        folder = build(tmp_path / build.__name__)
        told = step(folder, layers=1, dims=8).bind(SCHEMA).field("embedding").metadata
        assert told == {
            b"corpusmill.dim": b"8",
            b"corpusmill.layers": b"1 of 2",
            b"corpusmill.final_norm": norm,
            b"corpusmill.first_of": b"32",
        }


def test_what_cannot_be_kept_is_refused_when_the_plan_is_bound(tmp_path):
    folder = build_bert(tmp_path / "m")
    with pytest.raises(ModelError, match="it has 2 layers, fewer than the 3 to keep"):
        step(folder, layers=3).bind(SCHEMA)
    with pytest.raises(ModelError, match="32 values, fewer than the 33 to keep"):
        step(folder, dims=33).bind(SCHEMA)
    with pytest.raises(ValueError, match="name layers, dims or both"):
        step(folder)
    edit_json(folder / "config.json", model_type="albert")
    with pytest.raises(ModelError, match="albert is none of the families"):
        step(folder, layers=1).bind(SCHEMA)
