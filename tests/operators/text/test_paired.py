"""Pairs of texts to ids: as transformers joins and cuts them, whatever is tokenized first."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from operators.model import Model, resolve
from operators.text.paired import encode_pairs, paired
from tests.tiny_models import build_classifier

WORDS = st.lists(st.sampled_from(["the", "of", "fox", "12%", "b" * 120, "a"]), max_size=9)
TEXTS = st.tuples(WORDS, st.sampled_from([1, 1, 40, 100])).map(lambda t: " ".join(t[0] * t[1]))


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    folder = build_classifier(tmp_path_factory.mktemp("paired") / "m", max_length=48)
    return paired(resolve(Model(str(folder)))), AutoTokenizer.from_pretrained(folder)


@given(pairs=st.lists(st.tuples(TEXTS, TEXTS), max_size=6))
@settings(max_examples=25)
def test_ids_and_types_are_those_of_transformers(tokenizers, pairs):
    ours, theirs = tokenizers
    ids, lengths, zeros = encode_pairs(ours, [a for a, _ in pairs], [b for _, b in pairs])
    rows = np.split(ids, np.cumsum(lengths)[:-1]) if pairs else []
    for (a, b), row, zero in zip(pairs, rows, zeros, strict=True):
        wanted = theirs([a], [b], truncation="longest_first", max_length=48)
        assert row.tolist() == wanted["input_ids"][0]
        assert wanted["token_type_ids"][0].count(0) == zero


def test_a_text_of_megabytes_is_not_tokenized_whole(tokenizers):
    ours, _ = tokenizers
    texts = ["the of " * 100_000] * 20
    ids, lengths, _ = encode_pairs(ours, ["fox"] * 20, texts)
    assert lengths.tolist() == [48] * 20
    assert len(ids) == 48 * 20
