"""Passages pooled from their document's states: what they know, and what they do not."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
import torch

from operators import columns
from operators.arrays import to_matrix
from operators.base import Resources
from operators.encode import late
from operators.encode.encode import Encode
from operators.encode.torch_backend import load
from operators.errors import ContractError, ModelError
from operators.model import Model, resolve
from operators.text.late_passages import LatePassages
from operators.text.late_tree import LateTree
from operators.text.passages import Passages
from operators.text.tokenizer import Tokenize, complete
from tests.tiny_models import BUILDERS, build_bert, build_gpt2, build_llama

CLOSE = 2e-5
LONG = "The fox ran of old. And the dog sat. Of rain and the sea it sang, and fell. " * 3


def documents(*texts, first=0):
    hashes = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
    names = [f"d{number + first}" for number in range(len(texts))]
    return pa.table({"id": names, "text": list(texts), "content_hash": pa.array(hashes)})


def late_encoded(folder, table, cut=None, own=None, budget=640, **fields):
    cut = cut or LatePassages(Model(str(folder)), tokens=16, overlap=4)
    step = Encode(Model(str(folder)), strategy={"kind": "late-chunking", **(own or {})}, **fields)
    bound = step.bind(cut.bind(table.schema))
    with cut.open() as lay_out, step.open(Resources(device="cpu", token_budget=budget)) as encode:
        out = encode(lay_out(table))
    assert out.schema.equals(bound, check_metadata=True)
    return out


def plain(folder, texts, **fields):
    table = pa.table({"id": [str(n) for n in range(len(texts))], "text": texts})
    step = Encode(Model(str(folder)), **fields)
    with Tokenize(step.model).open() as tokenize, step.open(Resources(device="cpu")) as encode:
        return to_matrix(encode(tokenize(table))["embedding"], 32)


def vectors(out, document="d0"):
    mine = [name == document for name in out["parent_id"].to_pylist()]
    return to_matrix(out.filter(pa.array(mine))["embedding"], 32)


def states(folder, ids):
    backend = load(resolve(Model(str(folder))), "m", "fp32", torch.device("cpu"))
    with torch.inference_mode():
        return backend.states(torch.tensor([ids]), None)[0]


def unit(vector):
    return torch.nn.functional.normalize(vector, dim=0).numpy()


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [
        *((kind, "mean") for kind in BUILDERS),
        ("bert", "max"),
        ("qwen3", "last"),
        ("llama", "wmean"),
    ],
)
def test_one_passage_that_is_the_whole_text_has_the_plain_vector(tmp_path, kind, pooling):
    folder = BUILDERS[kind](tmp_path / "m")
    texts = ["the fox sat", "  of rain.\n\nAnd sea ", "x"]
    whole = LatePassages(Model(str(folder)), tokens=60, overlap=0)
    out = late_encoded(folder, documents(*texts), whole, pooling=pooling)
    found = to_matrix(out["embedding"], 32)
    np.testing.assert_allclose(found, plain(folder, texts, pooling=pooling), atol=CLOSE)


@pytest.mark.parametrize("included", [True, False])
def test_the_prompt_stands_once_before_the_document(tmp_path, included):
    folder = build_bert(
        tmp_path / "m", prompts={"passage": "of the: "}, include_prompt=included, max_length=128
    )
    whole = LatePassages(Model(str(folder)), tokens=100, overlap=0)
    text = LONG[:60]
    out = late_encoded(folder, documents(text), whole)
    np.testing.assert_allclose(vectors(out)[0], plain(folder, [text])[0], atol=CLOSE)
    parts = late_encoded(folder, documents(text))
    with Tokenize(Model(str(folder))).open() as tokenize:
        ids = tokenize(pa.table({"id": ["0"], "text": [text]}))["input_ids"][0].as_py()
    last = parts["n_tokens"][-1].as_py()
    np.testing.assert_allclose(
        vectors(parts)[-1], unit(states(folder, ids)[-last:].mean(0)), atol=CLOSE
    )


def test_the_first_passage_of_a_decoder_knows_no_more_than_alone(tmp_path):
    folder = build_llama(tmp_path / "m")
    table = documents(LONG[:100])
    out = late_encoded(folder, table, pooling="mean")
    texts = [
        LONG[start:stop]
        for start, stop in zip(
            out["char_start"].to_pylist(), out["char_stop"].to_pylist(), strict=True
        )
    ]
    alone = plain(folder, texts, pooling="mean")
    np.testing.assert_allclose(vectors(out)[0], alone[0], atol=CLOSE)
    assert (np.abs(vectors(out)[1:] - alone[1:]).max(axis=1) > 1e-3).all()


def test_a_word_moves_the_other_passages_of_its_document_and_no_others(tmp_path):
    folder = build_bert(tmp_path / "m")
    other = "The sea. " + LONG[:60]
    before = late_encoded(folder, documents(LONG[:110], other))
    after = late_encoded(folder, documents(LONG[:105] + "z" + LONG[106:110], other))
    assert before["id"].to_pylist()[0] == after["id"].to_pylist()[0]
    assert np.abs(vectors(before)[0] - vectors(after)[0]).max() > 1e-4
    np.testing.assert_allclose(vectors(before, "d1"), vectors(after, "d1"), atol=CLOSE)


def test_a_decoders_passage_does_not_see_the_ones_behind_it(tmp_path):
    folder = build_gpt2(tmp_path / "m")
    before = late_encoded(folder, documents(LONG[:110]), pooling="mean")
    after = late_encoded(folder, documents(LONG[:105] + "z" + LONG[106:110]), pooling="mean")
    np.testing.assert_allclose(vectors(before)[0], vectors(after)[0], atol=CLOSE)
    assert np.abs(vectors(before)[-1] - vectors(after)[-1]).max() > 1e-4


def test_a_long_document_is_read_in_windows_with_its_special_tokens(tmp_path):
    folder = build_bert(tmp_path / "m")
    tree = LateTree(Model(str(folder)), tokens=16)
    out = late_encoded(folder, documents(LONG), tree, {"window": 32, "overlap": 10})
    ids = complete(resolve(Model(str(folder))), "m").encode(LONG).ids
    inner, room = ids[1:-1], 30
    left = len(inner) - room
    count = 1 - (-left // (room - 10))
    starts = np.linspace(0, left, count).round().astype(int)
    marks = [0, *((starts[1:] + starts[:-1] + room) // 2), len(inner)]
    parts = []
    for number, start in enumerate(starts):
        found = states(folder, [ids[0], *inner[start : start + room], ids[-1]])
        low, high = (mark - start + 1 for mark in marks[number : number + 2])
        parts.append(found[(0 if number == 0 else low) : (None if number == count - 1 else high)])
    whole = torch.cat(parts)
    assert len(whole) == len(ids) == out["n_tokens"][0].as_py()
    assert count > 3
    assert out["char_stop"][0].as_py() == len(LONG)
    np.testing.assert_allclose(vectors(out)[0], unit(whole.mean(0)), atol=CLOSE)
    half = out["n_tokens"][1].as_py()
    np.testing.assert_allclose(vectors(out)[1], unit(whole[:half].mean(0)), atol=CLOSE)
    np.testing.assert_allclose(vectors(out)[2], unit(whole[half:].mean(0)), atol=CLOSE)


def test_few_states_in_memory_and_small_batches_change_nothing(tmp_path, monkeypatch):
    folder = build_bert(tmp_path / "m")
    table = documents(LONG, "the fox", LONG[30:90], "and")
    whole = late_encoded(folder, table)
    monkeypatch.setattr(late, "_STATES", 1)
    for budget in (1, 100):
        again = late_encoded(folder, table, budget=budget)
        assert again["id"].equals(whole["id"])
        for document in ("d0", "d1", "d2", "d3"):
            np.testing.assert_allclose(
                vectors(again, document), vectors(whole, document), atol=CLOSE
            )


@pytest.mark.parametrize("graph", ["openvino", "onnxruntime"])
def test_it_is_the_same_by_another_backend(tmp_path, monkeypatch, graph):
    pytest.importorskip(graph)
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    folder = build_bert(tmp_path / "m")
    table = documents(LONG, "the fox")
    found = [late_encoded(folder, table, backend=backend) for backend in ("torch", graph)]
    one, other = (to_matrix(each["embedding"], 32) for each in found)
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_its_rows_are_those_of_passages(tmp_path):
    folder = build_bert(tmp_path / "m")
    table = documents(LONG, "The fox.", LONG[7:99])
    out = late_encoded(folder, table)
    with Passages(Model(str(folder)), tokens=16, overlap=4).open() as cut:
        rows = cut(table)
    assert len(rows) > 10
    for name in rows.schema.names:
        if name != "text":
            assert out[name].to_pylist() == rows[name].to_pylist(), name


def test_a_tree_has_the_document_its_halves_and_theirs_as_rows(tmp_path):
    folder = build_bert(tmp_path / "m")
    texts = [LONG[:60], "The fox."]
    out = late_encoded(folder, documents(*texts), LateTree(Model(str(folder)), tokens=16))
    rows = [row for row in out.to_pylist() if row["parent_id"] == "d0"]
    np.testing.assert_allclose(vectors(out)[0], plain(folder, texts)[0], atol=CLOSE)
    assert [row["position"] for row in rows] == list(range(len(rows)))
    assert rows[0]["level"] == 0
    assert rows[0]["within"] is None
    above = {row["id"]: row for row in rows}
    for row in rows[1:]:
        whole = above[row["within"]]
        assert row["level"] == whole["level"] + 1
        assert whole["char_start"] <= row["char_start"] < row["char_stop"] <= whole["char_stop"]
        part = texts[0][row["char_start"] : row["char_stop"]].encode()
        assert row["content_hash"] == hashlib.blake2b(part, digest_size=16).digest()
    assert max(row["level"] for row in rows) >= 2


def test_a_text_without_tokens_is_a_bad_row(tmp_path):
    operator = LatePassages(Model(str(build_gpt2(tmp_path / "m"))), tokens=16, overlap=0)
    with operator.open() as lay_out:
        out = lay_out(documents("the", "\u200b", "of"))
    found = out["error"].to_pylist()
    assert [error is None for error in found] == [True, False, True]
    assert "no token" in found[1]


def test_its_vectors_are_not_decided_by_a_passages_text_alone(tmp_path):
    model = Model(str(tmp_path / "m"))
    assert Encode(model).of_text
    assert not Encode(model, strategy={"kind": "late-chunking"}).of_text


def test_what_cannot_work_is_refused_before_a_run(tmp_path):
    folder = build_bert(tmp_path / "m")
    model = Model(str(folder))
    rows = documents("x").schema
    laid_out = LatePassages(model, tokens=16, overlap=4).bind(rows)

    def step(**fields):
        return Encode(model, strategy={"kind": "late-chunking", **fields})

    with pytest.raises(ContractError, match="put late-passages or late-tree"):
        step().bind(Tokenize(model).bind(rows))
    with pytest.raises(ContractError, match="strategy late-chunking, not pooled"):
        Encode(model).bind(laid_out)
    with pytest.raises(ModelError, match="late-chunking needs a pooling"):
        Encode(model, pooling="cls", strategy={"kind": "late-chunking"}).bind(laid_out)
    with pytest.raises(ModelError, match="window is 65"):
        step(window=65).bind(laid_out)
    with pytest.raises(ModelError, match="leave no room"):
        late_encoded(folder, documents(LONG), own={"window": 2})
    with pytest.raises(ContractError, match="leave it out of keep"):
        LateTree(model).bind(rows.append(columns.PARENT_ID))
    with pytest.raises(ValueError, match="more than half"):
        LatePassages(model, tokens=10, overlap=6)
