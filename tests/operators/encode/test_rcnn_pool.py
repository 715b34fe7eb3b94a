"""Max pooling of tokens in their context: its parts, its symmetry, and trained weights."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from operators import columns
from operators.arrays import to_matrix
from operators.base import Resources
from operators.encode.contexts import LargestInContext, in_context
from operators.encode.encode import Encode
from operators.encode.pooling import maximum, places
from operators.errors import ModelError
from operators.model import Model
from operators.quantize.artefact import digest_of
from operators.text.tokenizer import Tokenize
from tests.tiny_models import build_bert, build_llama

SCHEMA = pa.schema([columns.ID, columns.INPUT_IDS])


def some(rows=3, tokens=7, width=4, seed=0):
    return torch.randn(rows, tokens, width, generator=torch.Generator().manual_seed(seed))


def step(folder, artefact="", **fields):
    return Encode(
        Model(str(folder)), strategy={"kind": "rcnn-pool", "artefact": artefact}, **fields
    )


@settings(max_examples=20)
@given(length=st.integers(1, 7), prompt=st.integers(0, 6), seed=st.integers(0, 99))
def test_a_context_is_the_mean_of_the_pooled_tokens_on_its_side(length, prompt, seed):
    prompt = min(prompt, length - 1)
    mask = (torch.arange(7) < length).long().unsqueeze(0)
    states = some(rows=1, seed=seed)
    found = in_context(states, places(mask, torch.tensor([prompt])))[0]
    kept = states[0, prompt:length]
    for at in range(length - prompt):
        left = kept[:at].mean(0) if at else torch.zeros(4)
        right = kept[at + 1 :].mean(0) if at + 1 < len(kept) else torch.zeros(4)
        wanted = torch.cat([left, kept[at], right])
        torch.testing.assert_close(found[prompt + at], wanted, atol=1e-6, rtol=0)


def test_its_middle_is_max_pooling_and_turning_a_text_round_swaps_its_sides():
    states, place = some(), places(torch.ones(3, 7, dtype=torch.long))
    left, middle, right = LargestInContext()(states, place).split(4, dim=1)
    assert torch.equal(middle, maximum(states, place))
    turned = LargestInContext()(states.flip(1), place)
    torch.testing.assert_close(turned, torch.cat([right, middle, left], 1), atol=1e-6, rtol=0)


def test_a_weight_that_looks_at_the_token_alone_does_not_count_how_often_it_stands_there():
    weight = torch.cat([torch.zeros(4, 4), torch.eye(4), torch.zeros(4, 4)], dim=1)
    pool = LargestInContext((weight, torch.zeros(4)))
    states = some()
    doubled = states.repeat_interleave(2, dim=1)
    found = pool(doubled, places(torch.ones(3, 14, dtype=torch.long)))
    wanted = maximum(states, places(torch.ones(3, 7, dtype=torch.long))).tanh()
    torch.testing.assert_close(found, wanted)


def test_trained_weights_decide_the_values_of_a_vector(tmp_path):
    folder = build_llama(tmp_path / "m")
    random = np.random.default_rng(0)
    arrays = {"weight": random.normal(size=(5, 96)), "bias": random.normal(size=5)}
    data = save({name: each.astype(np.float32) for name, each in arrays.items()})
    place = tmp_path / f"{digest_of(data)}.safetensors"
    place.write_bytes(data)
    encode = step(folder, str(place), normalize=False)
    assert columns.dim_of(encode.bind(SCHEMA).field("embedding")) == 5
    with Tokenize(Model(str(folder))).open() as tokenize:
        table = tokenize(pa.table({"id": ["a", "b"], "text": ["the quick fox", "x"]}))
    with encode.open(Resources(device="cpu")) as apply:
        found = to_matrix(apply(table)["embedding"], 5)
    assert np.abs(found).max() <= 1
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_other_weights_are_refused_when_the_plan_is_bound(tmp_path):
    data = save({"weight": np.zeros((5, 32), np.float32), "bias": np.zeros(5, np.float32)})
    place = tmp_path / f"{digest_of(data)}.safetensors"
    place.write_bytes(data)
    with pytest.raises(ModelError, match=r"should hold weight \(n, 96\) and bias \(n\)"):
        step(build_bert(tmp_path / "m"), str(place)).bind(SCHEMA)


@pytest.mark.parametrize(
    ("kind", "build", "dim", "graph"),
    [
        ("rcnn-pool", build_bert, 96, "openvino"),
        ("jrt-repeat", build_llama, 32, "openvino"),
        ("jrt-repeat", build_llama, 32, "onnxruntime"),
    ],
)
def test_a_strategy_of_states_alone_is_the_same_by_another_backend(
    tmp_path, monkeypatch, kind, build, dim, graph
):
    pytest.importorskip(graph)
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    folder = build(tmp_path / "m")
    with Tokenize(Model(str(folder))).open() as tokenize:
        table = tokenize(pa.table({"id": ["a", "b"], "text": ["the quick fox", "x"]}))
    found = []
    for backend in ("torch", graph):
        encode = Encode(Model(str(folder)), backend=backend, strategy={"kind": kind})
        with encode.open(Resources(device="cpu")) as apply:
            found.append(to_matrix(apply(table)["embedding"], dim))
    np.testing.assert_allclose(*found, atol=1e-4)
