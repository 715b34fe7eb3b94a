"""Tables of pairs, tiny models built once, and the real cross-encoder where it is there."""

import os
from functools import cache
from pathlib import Path

import pyarrow as pa
import pytest

from operators import columns
from operators.base import Resources
from operators.model import Model
from operators.teach.teach import Teach
from tests.tiny_heads import build_colbert
from tests.tiny_models import (
    build_bert,
    build_classifier,
    build_language_model,
    build_uni_encoder,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Folders of tiny models by kind: a classifier, a language model, or `embedder`."""
    home = tmp_path_factory.mktemp("teachers")

    @cache
    def folder(kind):
        if kind == "embedder":
            prompts = {"query": "ask: ", "document": "d: "}
            return build_bert(home / kind, include_prompt=False, prompts=prompts)
        if kind == "uni":
            return build_uni_encoder(home / kind)
        if kind == "colbert":
            return build_colbert(home / kind)
        build = build_classifier if kind in CLASSIFIERS else build_language_model
        return build(home / kind, kind.removesuffix("-lm"))

    return folder


CLASSIFIERS = ("bert", "roberta", "modernbert", "llama")


@pytest.fixture(scope="session")
def shared():
    """The folder of shared data and models."""
    data = Path(os.environ.get("CORPUSMILL_DATA") or ROOT.parent / "shared" / "data")
    if not data.is_dir():
        pytest.skip("no shared data: CORPUSMILL_DATA names no folder")
    return data.parent


@pytest.fixture(scope="session")
def ce_minilm(shared):
    """The folder of the real cross-encoder."""
    folder = shared / "models" / "ce-minilm"
    if not folder.is_dir():
        pytest.skip("no models/ce-minilm beside the shared data")
    return folder


@pytest.fixture
def pair_table():
    """A table of (query, text) pairs of one teacher."""

    def made(pairs, teacher="t", ids=(), answers=()):
        fields = [columns.ID, columns.QUERY, columns.TEXT, columns.TEACHER]
        queries, texts = zip(*pairs, strict=True) if pairs else ((), ())
        names = [str(place) for place in range(len(pairs))]
        made = [names, queries, texts, [teacher] * len(pairs)]
        if answers:
            fields, made = [*fields, columns.ANSWER], [*made, answers]
        if ids:
            fields, made = [*fields, columns.QUERY_ID], [*made, ids]
        return pa.table(made, schema=pa.schema(fields))

    return made


@pytest.fixture
def logits(pair_table):
    """The logits a teacher gives to pairs, as a numpy array."""

    def scored(folder, pairs, budget=0, length=0, prompts=None, **fields):
        step = Teach(Model(str(folder), "", length, prompts), fingerprint="t", **fields)
        with step.open(Resources(device="cpu", token_budget=budget)) as teach:
            out = teach(pair_table(pairs))
        assert "error" not in out.column_names
        return out["logit"].to_numpy()

    return scored
