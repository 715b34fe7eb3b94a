"""A maxsim teacher: its logits are MaxSim of the token vectors that `encode` stores."""

import itertools

import numpy as np
import pyarrow as pa
import pytest

from operators.arrays import to_ragged
from operators.base import Resources
from operators.encode.encode import Encode
from operators.errors import ModelError
from operators.model import Model
from operators.quantize.maxsim import maxsim
from operators.text.tokenizer import Tokenize
from tests.tiny_heads import build_colbert

PAIRS = [("the fox", "of 12%"), ("the fox", "and " * 40), ("A 12% of", "of 12%"), ("x", "x")]


@pytest.fixture(scope="module")
def xmod(tmp_path_factory):
    return build_colbert(tmp_path_factory.mktemp("m") / "m")


def stored(folder, texts, role):
    """The token vectors of each text as a table holds them."""
    strategy = {"kind": "colbert-xm", "language": "de_DE", "role": role}
    table = pa.table({"id": [str(n) for n in range(len(texts))], "text": list(texts)})
    with (
        Tokenize(Model(str(folder)), role=role).open() as tokenize,
        Encode(Model(str(folder)), strategy=strategy).open(Resources(device="cpu")) as encode,
    ):
        values, offsets = to_ragged(encode(tokenize(table))["token_vectors"])
    return [values[a:b].reshape(-1, 8) for a, b in itertools.pairwise(offsets)]


def test_logits_are_maxsim_of_stored_vectors(xmod, logits):
    queries, texts = zip(*PAIRS, strict=True)
    sets = zip(stored(xmod, queries, "query"), stored(xmod, texts, "passage"), strict=True)
    found = logits(xmod, PAIRS, teacher="maxsim", language="de_DE")
    np.testing.assert_allclose(found, [maxsim(*each) for each in sets], atol=1e-4)
    other = logits(xmod, PAIRS, teacher="maxsim", language="en_XX")
    assert np.abs(np.array(found) - other).max() > 1e-3


def test_a_model_without_adapters_needs_no_language(tmp_path, logits):
    found = logits(build_colbert(tmp_path / "bert", "bert"), PAIRS, teacher="maxsim")
    assert all(0 < each <= 32.001 for each in found)


def test_adapters_that_nobody_chose_are_refused(xmod, logits):
    with pytest.raises(ModelError, match="has adapters of 3 languages"):
        logits(xmod, PAIRS, teacher="maxsim")
