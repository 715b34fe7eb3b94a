"""What every strategy of encoding owes, proved once for all of them.

A new strategy is one line of `CASES`; what is its own has a test file of its own.
"""

import hashlib
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache, partial
from typing import NamedTuple, get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import columns
from operators.arrays import ragged_column, to_ragged
from operators.base import Resources
from operators.encode.encode import Encode
from operators.encode.strategies import AnyStrategy
from operators.errors import RowError
from operators.model import Model, resolve
from operators.text.late_passages import LatePassages
from operators.text.tokenizer import Tokenize
from pipelines.fingerprint import step_identity
from tests.tiny_heads import HEADS
from tests.tiny_models import BUILDERS, VOCABULARY, build_bert
from tests.windowed_models import WINDOWED


class Case(NamedTuple):
    """A tiny model by its builder, the strategy's fields, and the encoder's."""

    builder: str
    own: dict = {}  # noqa: RUF012 - never changed
    encode: dict = {}  # noqa: RUF012 - never changed
    read: Callable = Tokenize
    """What makes ids of texts, by the model."""


TWO = ["a: <PST> {text} is:", "of <PST> the {text}:"]
CASES = {
    "2dmse": Case("modernbert", {"layers": 1, "dims": 24}),
    "gem": Case("gemma3", {"tokens": 3, "pool": "concat"}),
    "jrt-repeat": Case("qwen3"),
    "late-chunking": Case("long", {"window": 16}, read=partial(LatePassages, tokens=8, overlap=0)),
    "prefix-lm": Case("mistral", {"prefix": 3}),
    "pooled": Case("bert"),
    "colbert-xm": Case("colbert", {"language": "en_XX"}),
    "dupmae": Case("confident", {"top_k": len(VOCABULARY)}, {"pooling": "cls"}),
    "nv-embed": Case("nv-embed"),
    "splade": Case("confident", {"top_k": len(VOCABULARY)}),
    "rcnn-pool": Case("bert"),
    "token-prepending": Case("llama", {"prompts": TWO, "stop": 2, "out": -1}),
    "static-l0": Case("bert", {"states": "first", "sif": 1e-3}),
    "ullme": Case("llama", encode={"pooling": "mean"}),
}
LONG = {"long": partial(build_bert, max_length=128)}
WORDS = ["the", "quick", "brown", "fox", "doesn't", "jump", "12.5", "café"]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=9), min_size=1, max_size=9)


def step(kind, folder, **changed):
    case = CASES[kind]
    return Encode(Model(str(folder)), strategy={"kind": kind, **case.own, **changed}, **case.encode)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("strategies")
    return cache(lambda builder: (BUILDERS | HEADS | WINDOWED | LONG)[builder](home / builder))


@pytest.fixture(scope="module")
def opened(folders):
    """The transform of a strategy, opened once for each token budget, and its tokenizer."""
    kept = []

    @cache
    def transform(kind, budget):
        folder = folders(CASES[kind].builder)
        found = [
            step(kind, folder).open(Resources(device="cpu", token_budget=budget)),
            CASES[kind].read(Model(str(folder))).open(),
        ]
        kept.extend(found)
        return tuple(each.__enter__() for each in found)

    yield transform
    for each in reversed(kept):
        each.__exit__(None, None, None)


def rows(texts):
    ids = [str(place) for place in range(len(texts))]
    return documents(ids, [" ".join(words) for words in texts])


def documents(ids, texts):
    hashes = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
    return pa.table({"id": ids, "text": texts, "content_hash": pa.array(hashes, pa.binary())})


def same(found, expected, atol=5e-5):
    """Equal columns; of floats in any list within a tolerance."""
    assert found.schema == expected.schema
    for name in expected.column_names:
        one, other = (_flat(table[name]) for table in (found, expected))
        if pa.types.is_floating(one.type):
            np.testing.assert_allclose(one.to_numpy(), other.to_numpy(), atol=atol)
        else:
            assert one.equals(other), name


def of_rows(table, order):
    """What became of the texts, in that order of theirs."""
    named = "parent_id" if "parent_id" in table.column_names else "id"
    place = np.argsort(order)[table[named].to_numpy().astype(int)]
    return table.take(np.argsort(place, kind="stable"))


def _flat(column):
    column = column.combine_chunks()
    while pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
        column = column.flatten()
    return column


def _rows(column):
    values, offsets = to_ragged(column)
    return np.split(values, offsets[1:-1])


def test_every_strategy_is_a_case():
    union = get_args(get_args(AnyStrategy)[0])
    assert {kind.__dataclass_fields__["kind"].default for kind in union} == set(CASES)


@pytest.mark.parametrize("kind", CASES)
@given(texts=TEXTS, cut=st.integers(0, 9), budget=st.sampled_from([1, 60, 4096]))
@settings(max_examples=10)
def test_neither_padding_nor_order_nor_partition_changes_a_row(opened, kind, texts, cut, budget):
    encode, tokenize = opened(kind, budget)
    table = tokenize(rows(texts))
    whole = opened(kind, 640)[0](table)
    same(pa.concat_tables([encode(table.slice(0, cut)), encode(table.slice(cut))]), whole)
    order = np.random.default_rng(len(texts)).permutation(len(texts))
    same(encode(table.take(order)), of_rows(whole, order))


@pytest.mark.parametrize("kind", CASES)
def test_it_gives_the_columns_that_the_plan_was_told(opened, folders, kind):
    encode, tokenize = opened(kind, 640)
    table = tokenize(rows([["the"], WORDS]))
    bound = step(kind, folders(CASES[kind].builder)).bind(table.schema)
    assert encode(table).schema.equals(bound, check_metadata=True)
    assert encode(table.slice(0, 0)).schema.names == bound.names


@pytest.mark.parametrize("kind", CASES)
def test_short_long_and_odd_texts_have_finite_values(opened, kind):
    encode, tokenize = opened(kind, 640)
    table = documents(list("abcd"), ["x", "the " * 400, "\ufffd\u200b the", "a\nb"])
    out = encode(tokenize(table))
    named = "parent_id" if "parent_id" in out.column_names else "id"
    assert list(dict.fromkeys(out[named].to_pylist())) == list("abcd")
    assert columns.ERROR.name not in out.column_names
    for name in out.column_names:
        values = _flat(out[name])
        if pa.types.is_floating(values.type):
            assert np.isfinite(values.to_numpy()).all(), name


@pytest.mark.parametrize("kind", [kind for kind in CASES if kind != "static-l0"])
def test_in_bfloat16_it_is_near_what_it_is_in_float32(opened, folders, kind):
    encode, tokenize = opened(kind, 640)
    table = tokenize(rows([WORDS[:count] for count in range(1, 9)]))
    exact = encode(table)
    half = replace(step(kind, folders(CASES[kind].builder)), precision="bf16")
    with half.open(Resources(device="cpu", token_budget=640)) as encode:
        found = encode(table)
    assert found.schema == exact.schema
    for name in ("embedding", "lexical_weights", "token_vectors"):
        if name in found.column_names:
            one, other = (_rows(each[name]) for each in (found, exact))
            cosines = [
                a @ b / np.linalg.norm(a) / np.linalg.norm(b)
                for a, b in zip(one, other, strict=True)
            ]
            assert min(cosines) > 0.99, name


@pytest.mark.parametrize("kind", CASES)
def test_a_token_that_the_network_has_not_is_a_bad_row_before_the_device_sees_it(
    opened, folders, kind
):
    known = resolve(Model(str(folders(CASES[kind].builder)))).config["vocab_size"]
    encode, tokenize = opened(kind, 640)
    table = tokenize(rows([["the"], WORDS]))
    ids, offsets = to_ragged(table["input_ids"])
    ids = np.where(np.arange(len(ids)) == offsets[1] + 2, known, ids).astype(np.int32)
    at, field = table.schema.get_field_index("input_ids"), table.schema.field("input_ids")
    said = f"a row has the token {known}, and the network has {known} tokens"
    with pytest.raises(RowError, match=said):
        encode(table.set_column(at, field, ragged_column(ids, offsets)))


@pytest.mark.parametrize("kind", CASES)
def test_its_name_and_fields_are_identity(folders, kind):
    folder = folders(CASES[kind].builder)
    told = step_identity(step(kind, folder))["strategy"]
    assert told["kind"] == kind
    strategy = step(kind, folder).strategy
    aside = getattr(strategy, "aside", frozenset())
    assert set(told) == {field.name for field in fields(strategy)} - aside
