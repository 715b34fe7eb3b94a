"""A text read twice: what the second copy knows, and what the first keeps."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from operators import columns
from operators.arrays import to_matrix
from operators.base import Resources
from operators.encode.encode import Encode
from operators.encode.torch_backend import load
from operators.errors import ModelError
from operators.model import Model, resolve
from operators.text.tokenizer import Tokenize
from tests.tiny_models import BUILDERS, build_bert, build_gpt2, build_llama

SCHEMA = pa.schema([columns.ID, columns.INPUT_IDS, columns.TRUNCATED])
STATES = 1e-5


def step(folder, **fields):
    return Encode(Model(str(folder)), strategy={"kind": "jrt-repeat"}, **fields)


def encoded(step, folder, texts, **tokenize):
    table = pa.table({"id": [str(n) for n in range(len(texts))], "text": texts})
    with Tokenize(Model(str(folder)), **tokenize).open() as tokenized:
        table = tokenized(table)
    with step.open(Resources(device="cpu")) as apply:
        return table, apply(table)


def test_an_encoder_that_sees_both_ways_has_no_use_for_it(tmp_path):
    with pytest.raises(ModelError, match="leave strategy jrt-repeat out"):
        step(build_bert(tmp_path / "m")).bind(SCHEMA)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen3"])
@torch.inference_mode()
def test_it_pools_the_second_half_of_the_row_twice(tmp_path, kind):
    folder = BUILDERS[kind](tmp_path / "m")
    found = encoded(step(folder, pooling="mean"), folder, ["the quick fox", "jump"])
    backend = load(resolve(Model(str(folder))), kind, "fp32", torch.device("cpu"))
    for ids, vector in zip(
        found[0]["input_ids"].to_pylist(), to_matrix(found[1]["embedding"], 32), strict=True
    ):
        once = backend.states(torch.tensor([ids]), None)[0]
        twice = backend.states(torch.tensor([ids * 2]), None)[0]
        torch.testing.assert_close(twice[: len(ids)], once, atol=STATES, rtol=0)
        wanted = torch.nn.functional.normalize(twice[len(ids) :].mean(0), dim=0)
        np.testing.assert_allclose(vector, wanted.numpy(), atol=STATES)


def test_the_first_token_of_the_second_copy_has_seen_the_last_word(tmp_path):
    folder = build_llama(tmp_path / "m")
    one, other = to_matrix(
        encoded(step(folder, pooling="cls"), folder, ["the fox", "the dog"])[1]["embedding"], 32
    )
    assert np.abs(one - other).max() > 1e-3


def test_a_text_that_does_not_fit_twice_is_cut_and_marked(tmp_path):
    folder = build_gpt2(tmp_path / "m")
    texts = ["the " * 32, "the " * 33, "of " + "the " * 90, "of " + "the " * 31]
    before, out = encoded(step(folder), folder, texts)
    assert before["truncated"].to_pylist() == [False, False, True, False]
    assert out["truncated"].to_pylist() == [False, True, True, False]
    vectors = to_matrix(out["embedding"], 32)
    np.testing.assert_allclose(vectors[0], vectors[1], atol=STATES)
    np.testing.assert_allclose(vectors[2], vectors[3], atol=STATES)


def test_a_prompt_is_read_in_both_copies_and_pooled_in_none(tmp_path):
    folder = build_llama(tmp_path / "m")
    (folder / "modules.json").write_text(
        '[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},'
        ' {"idx": 1, "name": "1", "path": "1_Pooling",'
        ' "type": "sentence_transformers.models.Pooling"}]'
    )
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        '{"pooling_mode": "mean", "include_prompt": false}'
    )
    table, out = encoded(step(folder), folder, ["fox"], prompt="the of ")
    ids, prompt = table["input_ids"][0].as_py(), table["prompt_tokens"][0].as_py()
    assert prompt == 3
    backend = load(resolve(Model(str(folder))), "m", "fp32", torch.device("cpu"))
    with torch.inference_mode():
        states = backend.states(torch.tensor([ids * 2]), None)[0]
    wanted = states[len(ids) + prompt :].mean(0)
    np.testing.assert_allclose(to_matrix(out["embedding"], 32)[0], wanted, atol=STATES)
