"""The encode step on tiny models: contract, invariances, bad rows."""

import subprocess
import sys
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import columns
from operators.arrays import ragged_column, to_matrix
from operators.base import Operator, Resources
from operators.encode.encode import Encode
from operators.errors import ContractError, ModelError
from operators.model import Model
from operators.text.tokenizer import Tokenize
from pipelines.rows import through
from tests.tiny_models import BUILDERS, SPECIALS, VOCABULARY, break_token, build_bert

LENGTHS = st.lists(st.integers(1, 64), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("encode")
    return cache(lambda kind: BUILDERS[kind](home / kind))


@pytest.fixture(scope="module")
def opened(folders):
    """A tiny model, opened once for each token budget."""
    with ExitStack() as stack:

        @cache
        def encode(kind, budget):
            step = Encode(Model(str(folders(kind))))
            return stack.enter_context(step.open(Resources(device="cpu", token_budget=budget)))

        yield encode


def tokens(lengths, seed=0):
    """A table of random token ids of those lengths."""
    size = int(np.sum(lengths))
    ids = np.random.default_rng(seed).integers(len(SPECIALS), len(VOCABULARY), size)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    column = ragged_column(ids.astype(np.int32), offsets)
    names = [str(row) for row in range(len(lengths))]
    return pa.table([names, column], schema=pa.schema([columns.ID, columns.INPUT_IDS]))


def vectors(step, table, **on):
    with step.open(Resources(device="cpu", **on)) as encode:
        out = encode(table)
    return to_matrix(out["embedding"], columns.dim_of(out.schema.field("embedding")))


def texts(folder, *rows, **fields):
    with Tokenize(Model(str(folder)), **fields).open() as tokenize:
        return tokenize(pa.table({"id": [str(i) for i in range(len(rows))], "text": list(rows)}))


@pytest.mark.parametrize("kind", BUILDERS)
@given(lengths=LENGTHS, cut=st.integers(0, 12), budget=st.sampled_from([1, 90, 4096]))
@settings(max_examples=20)
def test_vectors_do_not_depend_on_order_partition_or_packing(opened, kind, lengths, cut, budget):
    table = tokens(lengths)
    order = np.random.default_rng(len(lengths)).permutation(len(lengths))
    encode = opened(kind, budget)
    whole = to_matrix(opened(kind, 640)(table)["embedding"], 32)
    parts = pa.concat_tables([encode(table.slice(0, cut)), encode(table.slice(cut))])
    mixed = to_matrix(encode(table.take(order))["embedding"], 32)
    np.testing.assert_allclose(to_matrix(parts["embedding"], 32), whole, atol=2e-5)
    np.testing.assert_allclose(mixed, whole[order], atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)


def test_it_is_an_operator_whose_output_is_what_bind_says(folders):
    step = Encode(Model(str(folders("bert"))))
    assert isinstance(step, Operator)
    table = texts(folders("bert"), "the fox", "of 12%")
    bound = step.bind(table.schema)
    assert bound.names == ["id", "n_tokens", "truncated", "embedding"]
    assert columns.dim_of(bound.field("embedding")) == 32
    with step.open() as encode:
        assert encode(table).schema == bound
        empty = encode(table.slice(0, 0))
    assert (empty.schema, len(empty)) == (bound, 0)


def test_tokens_are_needed(folders):
    with pytest.raises(ContractError, match="encode needs column 'input_ids'"):
        Encode(Model(str(folders("bert")))).bind(pa.schema([columns.ID]))


def test_a_row_that_is_not_finite_is_rejected_alone(tmp_path):
    folder = build_bert(tmp_path / "m")
    sound = texts(folder, "the fox", "of and", "ab")
    before = vectors(Encode(Model(str(folder))), sound)
    break_token(folder, "%")
    table = texts(folder, "the fox", "12 % of", "of and", "ab")
    with Encode(Model(str(folder))).open(Resources(device="cpu")) as encode:
        out = encode(table)
    reason = "the model gave a vector that is not finite"
    assert out["error"].to_pylist() == [None, reason, None, None]
    found = to_matrix(out["embedding"], 32)
    np.testing.assert_allclose(np.delete(found, 1, 0), before, atol=1e-5)


def test_an_earlier_error_stays(folders):
    table = texts(folders("bert"), "the fox", "of").append_column(
        columns.ERROR, pa.array(["bad", None], pa.string())
    )
    with Encode(Model(str(folders("bert")))).open() as encode:
        assert encode(table)["error"].to_pylist() == ["bad", None]


def test_a_prompt_left_out_of_the_pooling_equals_the_hand_computation(tmp_path):
    import torch
    from transformers import AutoModel

    folder = build_bert(tmp_path / "m", include_prompt=False, prompts={"query": "ask: "})
    table = texts(folder, "the fox", role="query")
    found = vectors(Encode(Model(str(folder))), table)
    assert "prompt_tokens" not in Encode(Model(str(folder))).bind(table.schema).names
    network = AutoModel.from_pretrained(folder).eval()
    ids = torch.tensor(table["input_ids"].to_pylist())
    with torch.inference_mode():
        states = network(input_ids=ids)[0][0, table["prompt_tokens"][0].as_py() :].mean(0)
    np.testing.assert_allclose(found[0], states / states.norm(), atol=1e-5)


@pytest.mark.parametrize("dense", [0, 8])
def test_a_tiny_folder_equals_sentence_transformers(tmp_path, dense):
    from sentence_transformers import SentenceTransformer

    prompts = {"query": "ask: ", "document": "d: "}
    folder = build_bert(tmp_path / "m", dense=dense, include_prompt=False, prompts=prompts)
    rows = ["the fox", "A 12% of and " * 20, "x"]
    theirs = SentenceTransformer(str(folder), device="cpu")
    for role, encode in (("query", theirs.encode_query), ("passage", theirs.encode_document)):
        found = vectors(Encode(Model(str(folder))), texts(folder, *rows, role=role))
        np.testing.assert_allclose(found, encode(rows), atol=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_stays_near_float32(folders, precision):
    table = tokens([3, 40, 64, 17])
    exact = vectors(Encode(Model(str(folders("bert")))), table)
    found = vectors(Encode(Model(str(folders("bert"))), precision=precision), table)
    assert found.dtype == np.float32
    assert (np.sum(exact * found, axis=1) > 0.995).all()


@pytest.mark.parametrize("pooling", ["cls", "mean", "wmean", "last", "max"])
def test_every_pooling_of_a_config_is_another_vector(folders, pooling):
    table = tokens([5, 9])
    model = Model(str(folders("llama")))
    found = vectors(Encode(model, pooling=pooling), table)
    others = {"cls", "mean", "wmean", "last", "max"} - {pooling}
    assert not any(np.allclose(found, vectors(Encode(model, pooling=o), table)) for o in others)


def test_vectors_keep_their_length_where_the_config_says_so(folders):
    table = tokens([5, 9])
    raw = vectors(Encode(Model(str(folders("bert"))), normalize=False), table)
    unit = vectors(Encode(Model(str(folders("bert")))), table)
    lengths = np.linalg.norm(raw, axis=1, keepdims=True)
    assert (np.abs(lengths - 1) > 0.01).all()
    np.testing.assert_allclose(raw / lengths, unit, atol=1e-5)


def test_a_device_that_is_not_there_is_refused(folders):
    step = Encode(Model(str(folders("bert"))))
    with (
        pytest.raises(ModelError, match="this machine has no device 'cuda:99'"),
        step.open(Resources(device="cuda:99")),
    ):
        pass


def test_ids_of_another_models_tokenizer_are_refused_and_its_own_are_taken(folders):
    text = pa.schema([columns.ID, columns.TEXT])
    ids = Tokenize(Model(str(folders("bert")))).bind(text)
    Encode(Model(str(folders("bert")))).bind(ids)
    with pytest.raises(ContractError, match="name one model in tokenize and encode"):
        Encode(Model(str(folders("gpt2")))).bind(ids)


def test_threads_of_a_worker_are_set_while_it_is_open(folders):
    import torch

    before = torch.get_num_threads()
    with Encode(Model(str(folders("bert")))).open(Resources(device="cpu", threads=1)):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_binding_imports_neither_torch_nor_transformers(folders):
    code = (
        "import sys, pyarrow as pa; from operators import columns; "
        "from operators.encode.encode import Encode; from operators.model import Model; "
        f"Encode(Model({str(folders('bert'))!r})).bind(pa.schema([columns.INPUT_IDS])); "
        "print({'torch', 'transformers', 'ray'} & set(sys.modules))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_a_row_with_a_token_that_the_network_has_not_is_quarantined_alone(folders):
    ids = ragged_column(np.array([9, 10, len(VOCABULARY), 11], np.int32), np.array([0, 2, 3, 4]))
    table = pa.table([["a", "b", "c"], ids], schema=pa.schema([columns.ID, columns.INPUT_IDS]))
    step = Encode(Model(str(folders("bert"))))
    with step.open(Resources(device="cpu")) as encode:
        found = through(encode, table, step.bind(table.schema))
    reasons = dict(zip(found["id"].to_pylist(), found["error"].to_pylist(), strict=True))
    assert reasons["a"] is reasons["c"] is None
    assert "a row has the token 105, and the network has 105 tokens" in reasons["b"]
