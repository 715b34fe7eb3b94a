"""Bi-encoders score by the cosine of the vectors that `encode` gives."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from operators.model import Model
from operators.teach.bi_encoder import BiEncoder
from tests.tiny_models import build_classifier

PAIRS = [("the fox", "of 12%"), ("the fox", "and " * 40), ("A 12% of", "of 12%"), ("x", "x")]


def test_logits_equal_the_cosine_of_sentence_transformers(folders, logits):
    from sentence_transformers import SentenceTransformer

    peer = SentenceTransformer(str(folders("embedder")), device="cpu")
    queries, texts = zip(*PAIRS, strict=True)
    wanted = np.sum(peer.encode_query(list(queries)) * peer.encode_document(list(texts)), axis=1)
    found = logits(folders("embedder"), PAIRS, teacher="bi-encoder")
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert abs(found[3] - 1) > 1e-3, "query and passage have prompts of their own"


def test_a_graph_gives_the_cosines_of_torch(folders, logits, tmp_path, monkeypatch):
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path))
    found = logits(folders("embedder"), PAIRS, teacher="bi-encoder", backend="openvino")
    wanted = logits(folders("embedder"), PAIRS, teacher="bi-encoder")
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_text_equal_to_its_query_has_cosine_one_without_prompts(folders, logits):
    plain = {"query": "", "passage": ""}
    found = logits(folders("embedder"), PAIRS, teacher="bi-encoder", prompts=plain)
    assert found[3] == pytest.approx(1, abs=1e-5)


def test_each_text_of_a_unit_is_encoded_once(folders):
    scorer = BiEncoder(Model(str(folders("embedder")))).scorer(torch.device("cpu"), 4096)
    rows = []

    class Counted:
        def encode_unit(self, ragged):
            rows.append(len(ragged.lengths))
            return np.zeros((len(ragged.lengths), 32), np.float32)

    counted = type(scorer)(scorer.queries, scorer.passages, Counted())
    queries = pa.array(["the fox", "the fox", "of"] * 9)
    assert len(counted(queries, pa.array(["a", "b", "a"] * 9)).logits) == 27
    assert rows == [2, 2]


def test_an_empty_text_is_rejected_alone(folders, pair_table):
    from operators.teach.teach import Teach

    step = Teach(Model(str(folders("embedder"))), "bi-encoder", fingerprint="t")
    with step.open() as teach:
        out = teach(pair_table([("the fox", "of"), ("the fox", "\u200b"), ("of", "x")]))
    reason = "no token is left of its query or its text"
    assert out["error"].to_pylist() == [None, reason, None]
    assert out["logit"].is_null().to_pylist() == [False, True, False]


def test_what_encode_takes_the_teacher_takes(folders, tmp_path):
    BiEncoder(Model(str(folders("embedder")))).check()
    BiEncoder(Model(str(build_classifier(tmp_path / "bare")))).check()
