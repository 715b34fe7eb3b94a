"""A dense and a sparse vector of one pass: whose tokens make which, and the score they sum to."""

import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from operators import columns
from operators.arrays import to_matrix, to_ragged
from operators.base import Resources
from operators.encode.encode import Encode
from operators.errors import ModelError
from operators.model import Model
from operators.text.tokenizer import Tokenize
from pipelines.fingerprint import step_identity
from tests.tiny_heads import build_masked
from tests.tiny_models import VOCABULARY

WORDS = len(VOCABULARY)
TEXTS = ["the quick brown fox", "of", "a cafe, 12.5 % of it; and doesn't jump over the end"]
SCHEMA = pa.schema([columns.ID, columns.INPUT_IDS])


def step(folder, *, pooling="cls", **own):
    strategy = {"kind": "dupmae", **own}
    return Encode(Model(str(folder)), pooling=pooling, normalize=False, strategy=strategy)


def encoded(folder, **own):
    table = pa.table({"id": [str(n) for n in range(len(TEXTS))], "text": TEXTS})
    with (
        Tokenize(Model(str(folder))).open() as tokenize,
        step(folder, **own).open(Resources(device="cpu")) as encode,
    ):
        return encode(tokenize(table))


@torch.inference_mode()
def halves(folder):
    """The first state and the largest logits of the other tokens, each text alone."""
    network = AutoModelForMaskedLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = [
        network(**tokenizer(text, return_tensors="pt"), output_hidden_states=True) for text in TEXTS
    ]
    return (
        np.stack([each.hidden_states[-1][0, 0].numpy() for each in found]),
        np.stack([each.logits[0, 1:].amax(0).numpy() for each in found]),
    )


def sparse(table):
    ids, offsets = to_ragged(table["lexical_ids"])
    weights, _ = to_ragged(table["lexical_weights"])
    matrix = np.zeros((len(table), WORDS), np.float32)
    matrix[np.repeat(np.arange(len(table)), np.diff(offsets)), ids] = weights
    return matrix


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_masked(tmp_path_factory.mktemp("m") / "m")


def test_with_all_words_the_score_is_the_sum_of_both_products(folder):
    state, logits = halves(folder)
    found = encoded(folder, top_k=WORDS)
    dense, words = to_matrix(found["embedding"], 32), sparse(found)
    np.testing.assert_allclose(
        dense @ dense.T + words @ words.T, state @ state.T + logits @ logits.T, rtol=1e-4
    )


def test_queries_of_a_table_keep_all_of_their_words_and_the_tables_identity_stays(folder):
    documents = step(folder, top_k=384)
    assert step_identity(documents)["strategy"] == {"kind": "dupmae", "top_k": 384}
    asked = documents.strategy.of_queries()
    found, whole = (sparse(encoded(folder, top_k=k)) for k in (asked.top_k, WORDS))
    np.testing.assert_array_equal(found, whole)


def test_the_largest_logits_are_kept_with_their_sign(folder):
    _, logits = halves(folder)
    assert (logits < 0).any()
    found = sparse(encoded(folder, top_k=WORDS - 1))
    for row, all_of in zip(found, logits, strict=True):
        kept = all_of > all_of.min()
        np.testing.assert_allclose(row, np.where(kept, all_of, 0), atol=1e-5)
    assert (found < 0).any()


def test_a_unit_of_all_words_is_held_once_while_it_is_encoded(folder):
    table = pa.table({"id": [str(n) for n in range(3000)], "text": ["of"] * 3000})
    with (
        Tokenize(Model(str(folder))).open() as tokenize,
        step(folder, top_k=0).open(Resources(device="cpu")) as encode,
    ):
        tokens = tokenize(table)
        tracemalloc.start()
        encode(tokens)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 2 * len(table) * WORDS * 8


def test_another_pooling_is_refused(folder):
    with pytest.raises(ModelError, match="name pooling: cls"):
        step(folder, pooling="auto").bind(SCHEMA)
