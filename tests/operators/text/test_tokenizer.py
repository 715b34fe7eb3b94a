"""Texts to token ids."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators import columns
from operators.contract import extend
from operators.errors import ContractError, ModelError
from operators.model import Model, resolve
from operators.text.tokenizer import Tokenize, encode, load
from tests.tiny_models import BUILDERS, build_bert, edit_json

TEXTS = ["the fox, of 12%", "A", "and " * 40, "naïve 東京"]


def rows(*texts, **extra):
    schema = pa.schema([columns.ID, columns.TEXT])
    table = pa.table([[str(i) for i in range(len(texts))], list(texts)], schema=schema)
    for name, values in extra.items():
        table = table.append_column(name, pa.array(values))
    return table


def run(step, table):
    with step.open() as tokenize:
        return tokenize(table)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_bert(tmp_path_factory.mktemp("tokenizer") / "bert")


@pytest.fixture(scope="module")
def asks(tmp_path_factory):
    """A model that leaves the prompt out of its pooling."""
    place = tmp_path_factory.mktemp("tokenizer") / "asks"
    return build_bert(place, include_prompt=False, prompts={"query": "ask: ", "document": ""})


@pytest.mark.parametrize("kind", BUILDERS)
def test_ids_are_those_of_the_models_own_tokenizer(kind, tmp_path):
    from transformers import AutoTokenizer

    place = BUILDERS[kind](tmp_path / kind)
    out = run(Tokenize(Model(str(place))), rows(*TEXTS))
    theirs = AutoTokenizer.from_pretrained(place)(TEXTS, truncation=True, max_length=64)
    assert out["input_ids"].to_pylist() == theirs["input_ids"]
    assert out["n_tokens"].to_pylist() == [len(ids) for ids in theirs["input_ids"]]


def test_output_is_what_bind_says(folder):
    step = Tokenize(Model(str(folder)))
    table = rows(*TEXTS, section=["a", "b", "c", "d"])
    assert run(step, table).schema == step.bind(table.schema)
    assert "text" not in step.bind(table.schema).names
    assert run(step, table.slice(0, 0)).schema == step.bind(table.schema)


def test_text_is_needed(folder):
    with pytest.raises(ContractError, match="tokenize needs column 'text' as string"):
        Tokenize(Model(str(folder))).bind(pa.schema([columns.ID]))


def test_truncation_is_counted_per_row(folder):
    out = run(Tokenize(Model(str(folder)), max_length=6), rows("abcd", "abcde", "a" * 90, "and"))
    assert out["truncated"].to_pylist() == [False, True, True, False]
    assert out["n_tokens"].to_pylist() == [6, 6, 6, 3]


def test_the_end_of_a_text_is_kept_where_the_model_says_so(tmp_path):
    place = build_bert(tmp_path / "left")
    edit_json(place / "tokenizer_config.json", truncation_side="left")
    out = run(Tokenize(Model(str(place)), max_length=4), rows("the " * 2000 + "of and"))
    assert (
        out["input_ids"].to_pylist()
        == run(Tokenize(Model(str(place))), rows("of and"))["input_ids"].to_pylist()
    )
    assert out["truncated"].to_pylist() == [True]


@given(words=st.lists(st.sampled_from(["the", "of", "fox", " ", "\n", "12%"]), max_size=900))
def test_a_long_text_gives_the_ids_of_the_whole(folder, words):
    tokenizer = Tokenize(Model(str(folder)), max_length=8).tokenizer()
    text = " ".join(words)
    whole = tokenizer.encoder.encode(text)
    ids, lengths, truncated = encode(tokenizer, [text])
    assert ids.tolist() == whole.ids
    assert (lengths[0], truncated[0]) == (len(whole.ids), bool(whole.overflowing))


def test_a_long_text_with_few_tokens_is_read_to_its_end(folder):
    blank = " " * 5000
    out = run(Tokenize(Model(str(folder)), max_length=8), rows(f"a{blank}b{blank}c", "y" * 9000))
    assert out["n_tokens"].to_pylist() == [5, 3]
    assert out["truncated"].to_pylist() == [False, False]


def test_rows_do_not_depend_on_their_neighbours(folder):
    texts = [*TEXTS, "x " * 600_000, *TEXTS, "y " * 600_000, "the end"]
    step = Tokenize(Model(str(folder)))
    together = run(step, rows(*texts))
    for place, text in enumerate(texts):
        assert together["input_ids"][place] == run(step, rows(text))["input_ids"][0]


@pytest.mark.parametrize("text", ["", "   ", "\x00\x01", None])
def test_a_text_without_tokens_is_rejected_alone(folder, text):
    out = run(Tokenize(Model(str(folder))), rows("the fox", text))
    assert out["error"].to_pylist() == [None, "no token is left of its text"]


def test_good_rows_get_no_error_column(folder):
    assert "error" not in run(Tokenize(Model(str(folder))), rows("the fox")).column_names


def test_an_earlier_error_stays(folder):
    table = rows("", "", "of").append_column(columns.ERROR, pa.array(["bad", None, None]))
    out = run(Tokenize(Model(str(folder))), table)
    assert out["error"].to_pylist() == ["bad", "no token is left of its text", None]


def test_the_prompt_comes_first_and_counts(asks):
    model = Model(str(asks))
    out = run(Tokenize(model, role="query"), rows("the fox"))
    plain = run(Tokenize(model, role="query", prompt=""), rows("ask: the fox"))
    assert out["input_ids"] == plain["input_ids"]
    assert out["prompt_tokens"].to_pylist() == [len(["[CLS]", "a", "##s", "##k", ":"])]


def test_prompt_tokens_are_counted_only_where_the_pooling_leaves_them_out(folder, asks):
    schema = rows("a").schema
    assert "prompt_tokens" in Tokenize(Model(str(asks)), role="query").bind(schema).names
    assert "prompt_tokens" not in Tokenize(Model(str(asks))).bind(schema).names
    assert "prompt_tokens" not in Tokenize(Model(str(folder)), prompt="p: ").bind(schema).names


def test_a_text_that_adds_nothing_to_a_left_out_prompt_is_rejected(asks):
    out = run(Tokenize(Model(str(asks)), role="query"), rows("the fox", " "))
    assert out["error"].to_pylist() == [None, "no token is left of its text"]


@pytest.mark.parametrize("fields", [{"max_length": 2}, {"prompt": "of " * 70}])
def test_a_length_without_room_for_a_text_is_refused(folder, fields):
    with pytest.raises(ModelError, match="leave no room for a text"):
        Tokenize(Model(str(folder)), **fields).tokenizer()


def test_a_length_beyond_the_model_is_refused(folder):
    with pytest.raises(ModelError, match="its positions end at 64"):
        Tokenize(Model(str(folder)), max_length=65).bind(rows("a").schema)


def test_case_is_lowered_where_the_folder_says_so(tmp_path):
    place = build_bert(tmp_path / "cased")
    spec = json.loads((place / "tokenizer.json").read_text())
    spec["normalizer"]["lowercase"] = False
    (place / "tokenizer.json").write_text(json.dumps(spec))
    step = Tokenize(Model(str(place)))
    assert run(step, rows("THE"))["input_ids"] != run(step, rows("the"))["input_ids"]
    edit_json(place / "sentence_bert_config.json", do_lower_case=True)
    assert run(step, rows("THE"))["input_ids"] == run(step, rows("the"))["input_ids"]
    assert load(resolve(Model(str(place)))).truncation is None


def test_a_chunked_table_gives_the_same_rows(folder):
    table = rows(*TEXTS)
    step = Tokenize(Model(str(folder)))
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1, 0), table.slice(1)])
    assert run(step, chunked).combine_chunks() == run(step, table).combine_chunks()


def test_existing_columns_of_the_same_name_are_replaced_in_place(folder):
    step = Tokenize(Model(str(folder)))
    table = rows("of").append_column("n_tokens", pa.array([9], pa.int32()))
    out = run(step, table)
    assert out.schema == step.bind(table.schema)
    assert out["n_tokens"].to_pylist() == [3]
    assert out.schema == extend(out.schema, columns.N_TOKENS)


def test_ids_are_32_bit_and_lie_end_to_end(folder):
    ids, lengths, truncated = encode(Tokenize(Model(str(folder))).tokenizer(), TEXTS)
    assert (ids.dtype, lengths.dtype, truncated.dtype) == (np.int32, np.int32, np.bool_)
    assert len(ids) == lengths.sum()


def test_tokenizing_imports_neither_torch_nor_transformers(folder):
    code = (
        "import sys, pyarrow as pa; from operators.model import Model; "
        "from operators.text.tokenizer import Tokenize\n"
        f"with Tokenize(Model({str(folder)!r})).open() as tokenize:\n"
        "    tokenize(pa.table({'text': ['the fox']}))\n"
        "print({'torch', 'transformers', 'ray'} & set(sys.modules))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
