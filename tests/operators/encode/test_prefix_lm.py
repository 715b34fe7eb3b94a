"""A prefix that sees both ways: its length, its limits, and what it comes to at either end."""

import numpy as np
import pyarrow as pa
import pytest

from operators import columns
from operators.arrays import to_matrix
from operators.base import Resources
from operators.encode.encode import Encode
from operators.errors import ModelError, RowError
from operators.model import Model
from operators.text.tokenizer import Tokenize
from tests.tiny_models import BUILDERS, VOCABULARY, build_bert, build_llama
from tests.windowed_models import WINDOWED

SCHEMA = pa.schema([columns.ID, columns.INPUT_IDS])
TEXTS = ["the quick brown fox", "the of", "x"]


def prefix_lm(prefix):
    return {"kind": "prefix-lm", "prefix": prefix}


def vectors(folder, strategy, texts=TEXTS, **tokenize):
    table = pa.table({"id": [str(n) for n in range(len(texts))], "text": texts})
    with Tokenize(Model(str(folder)), **tokenize).open() as tokenized:
        table = tokenized(table)
    step = Encode(Model(str(folder)), pooling="mean", strategy=strategy)
    with step.open(Resources(device="cpu")) as apply:
        return to_matrix(apply(table)["embedding"], 32)


def test_an_encoder_has_no_use_for_it(tmp_path):
    step = Encode(Model(str(build_bert(tmp_path / "m"))), strategy=prefix_lm(3))
    with pytest.raises(ModelError, match="leave strategy prefix-lm out"):
        step.bind(SCHEMA)


def test_a_prompt_that_nobody_counts_cannot_be_the_prefix(tmp_path):
    step = Encode(Model(str(build_llama(tmp_path / "m"))), strategy=prefix_lm("prompt"))
    with pytest.raises(ModelError, match="give prefix as a number"):
        step.bind(SCHEMA)


@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_without_a_prefix_it_is_the_decoder_and_all_prefix_is_ullme(tmp_path, kind):
    folder = {**BUILDERS, **WINDOWED}[kind](tmp_path / "m")
    plain = vectors(folder, None)
    whole = vectors(folder, {"kind": "ullme"})
    np.testing.assert_allclose(vectors(folder, prefix_lm(0)), plain, atol=1e-5)
    np.testing.assert_allclose(vectors(folder, prefix_lm(99)), whole, atol=1e-5)
    last_alone = vectors(folder, prefix_lm(-1))
    assert np.abs(last_alone[0] - plain[0]).max() > 1e-3
    assert np.abs(last_alone[0] - whole[0]).max() > 1e-3


def counting_prompts(folder):
    """The folder, its pooling set to leave prompts out."""
    (folder / "modules.json").write_text(
        '[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},'
        ' {"idx": 1, "name": "1", "path": "1_Pooling",'
        ' "type": "sentence_transformers.models.Pooling"}]'
    )
    (folder / "1_Pooling").mkdir()
    told = '{"pooling_mode": "mean", "include_prompt": false}'
    (folder / "1_Pooling" / "config.json").write_text(told)
    return folder


def test_the_prompt_of_each_row_is_its_prefix_and_a_row_without_is_read_as_ever(tmp_path):
    folder = counting_prompts(build_llama(tmp_path / "m"))
    asked = {"prompt": "the of and "}
    by_number = vectors(folder, prefix_lm(4), **asked)
    np.testing.assert_allclose(vectors(folder, prefix_lm("prompt"), **asked), by_number, atol=1e-5)
    np.testing.assert_allclose(
        vectors(folder, prefix_lm("prompt")), vectors(folder, None), atol=1e-5
    )
    assert np.abs(by_number - vectors(folder, None, **asked)).max() > 1e-3


def test_a_token_that_the_network_has_not_is_refused_where_the_prompt_is_the_prefix(tmp_path):
    folder = counting_prompts(build_llama(tmp_path / "m"))
    ids = pa.array([[9, len(VOCABULARY), 11]], pa.list_(pa.int32()))
    table = pa.table([["a"], ids], schema=SCHEMA)
    step = Encode(Model(str(folder)), pooling="mean", strategy=prefix_lm("prompt"))
    with (
        step.open(Resources(device="cpu")) as encode,
        pytest.raises(RowError, match="the network has 105 tokens"),
    ):
        encode(table)
