"""Cross-encoders score as sentence-transformers' CrossEncoder does."""

import json
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.errors import ModelError
from operators.model import Model
from operators.teach.cross_encoder import CrossEncoder
from tests.tiny_models import build_classifier, build_gpt2, edit_json

TEXT = st.text("abc of.%", min_size=1, max_size=90)
PAIRS = [
    ("the fox", "of and 12%"),
    ("a", "the lazy dog " * 30),
    ("the lazy dog " * 30, "of"),
    ("why the fox " * 40, "the lazy dog " * 41),
    ("the fox", "of and 12%"),
]


def theirs(folder, pairs):
    from sentence_transformers import CrossEncoder as Peer

    peer = Peer(
        str(folder), device="cpu", local_files_only=True, model_kwargs={"dtype": torch.float32}
    )
    return peer.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)


@pytest.mark.parametrize("kind", ["bert", "roberta", "modernbert", "llama"])
def test_tiny_classifiers_equal_sentence_transformers(folders, logits, kind):
    found = logits(folders(kind), PAIRS)
    np.testing.assert_allclose(found, theirs(folders(kind), PAIRS), atol=1e-4)
    assert found.dtype == np.float32
    assert np.abs(found).max() > 0.01


def test_a_graph_is_given_token_types_and_gives_the_logits_of_torch(
    folders, logits, tmp_path, monkeypatch
):
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path))
    found = logits(folders("bert"), PAIRS, backend="openvino")
    np.testing.assert_allclose(found, logits(folders("bert"), PAIRS), atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "llama"])
@given(pairs=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8), budget=st.integers(1, 400))
@settings(max_examples=10)
def test_logits_do_not_depend_on_order_or_packing(scorers, kind, pairs, budget):
    score = scorers(kind)
    whole = score(pairs, 4096)
    np.testing.assert_allclose(score(pairs[::-1], budget)[::-1], whole, atol=1e-4)


@pytest.fixture(scope="module")
def scorers(folders):
    """Opened once: pairs and a token budget to logits."""
    from dataclasses import replace
    from functools import cache

    import pyarrow as pa

    @cache
    def opened(kind):
        return CrossEncoder(Model(str(folders(kind)))).scorer(torch.device("cpu"), 4096)

    def scorer(kind):
        def score(pairs, budget):
            loop = replace(opened(kind).loop, budget=budget)
            queries, texts = (pa.array(side) for side in zip(*pairs, strict=True))
            return replace(opened(kind), loop=loop)(queries, texts).logits

        return score

    return scorer


def test_the_order_of_a_pair_matters(folders, logits):
    one, other = logits(folders("bert"), [("the fox", "of 12%"), ("of 12%", "the fox")])
    assert abs(one - other) > 1e-4


def test_a_shorter_length_is_a_field(folders, logits):
    pairs = [("the fox", "the lazy dog of and " * 3)]
    cut = logits(folders("bert"), pairs, max_length=16)
    assert cut == logits(folders("bert"), pairs, length=16)
    assert abs(cut - logits(folders("bert"), pairs)) > 1e-4


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_stays_near_float32(folders, logits, precision):
    exact = logits(folders("bert"), PAIRS)
    np.testing.assert_allclose(logits(folders("bert"), PAIRS, precision=precision), exact, atol=0.1)


def refused(folder):
    with pytest.raises(ModelError) as caught:
        CrossEncoder(Model(str(folder))).check()
    return str(caught.value)


def test_two_labels_are_refused_from_the_config(tmp_path):
    said = refused(build_classifier(tmp_path / "m", labels=2))
    assert said.endswith("gives 2 logits; a teacher must have one logit (num_labels: 1)")
    edit_json(tmp_path / "m" / "config.json", id2label=None)
    assert "gives 2 logits" in refused(tmp_path / "m")


def test_a_model_without_a_head_is_refused(tmp_path):
    assert "is GPT2Model; a cross-encoder must be" in refused(build_gpt2(tmp_path / "m"))


def test_a_decoder_without_a_padding_token_is_refused(tmp_path):
    folder = build_classifier(tmp_path / "m", "llama")
    edit_json(folder / "config.json", pad_token_id=None)
    assert "has no pad_token_id" in refused(folder)


def test_a_default_prompt_is_refused(tmp_path):
    folder = build_classifier(tmp_path / "m")
    stated = {"prompts": {"q": "ask: "}, "default_prompt_name": "q"}
    edit_json(folder / "config_sentence_transformers.json", **stated)
    assert "default prompt" in refused(folder)


def real_pairs(shared, count):
    with (shared / "data/scifact/corpus.jsonl").open() as lines:
        docs = [json.loads(line) for line in islice(lines, count)]
    with (shared / "data/scifact/queries.jsonl").open() as lines:
        queries = [json.loads(line)["text"] for line in islice(lines, count)]
    return [(q, f"{d['title']} {d['text']}") for q, d in zip(queries, docs, strict=True)]


@pytest.mark.slow
def test_the_real_model_equals_sentence_transformers(ce_minilm, shared, logits):
    pairs = real_pairs(shared, 40)
    pairs += [(pairs[0][0], pairs[0][1] * 100), (pairs[0][1] * 20, pairs[1][1] * 9)]
    found = logits(ce_minilm, pairs)
    np.testing.assert_allclose(found, theirs(ce_minilm, pairs), atol=1e-3)
    assert np.abs(logits(ce_minilm, pairs, precision="bf16") - found).max() < 0.2
