"""Input vectors pooled without a network: equal to the lookup by hand, and to the real layer 0."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError
from safetensors.numpy import load_file

from operators import columns
from operators.arrays import to_matrix, to_ragged
from operators.base import Resources
from operators.encode import static_l0
from operators.encode.encode import Encode
from operators.errors import ModelError
from operators.model import Model
from operators.text.tokenizer import Tokenize
from tests.tiny_models import BUILDERS, CLS, SEP, build_bert

TEXTS = ["the fox of 12", "fox the 12 of", "a", "the the the of"]
WORDS = {"bert": "embeddings.word_embeddings.weight", "gpt2": "wte.weight"}


def tokens(folder: Path, texts=TEXTS) -> pa.Table:
    with Tokenize(Model(str(folder))).open() as tokenize:
        return tokenize(pa.table({"id": [str(n) for n in range(len(texts))], "text": texts}))


def encoded(folder: Path, texts=TEXTS, normalize: bool | None = False, **own) -> np.ndarray:
    step = Encode(Model(str(folder)), normalize=normalize, strategy={"kind": "static-l0", **own})
    with step.open(Resources(device="cpu")) as encode:
        out = encode(tokens(folder, texts))
    return to_matrix(out["embedding"], columns.dim_of(out.schema.field("embedding")))


def looked_up(folder: Path, name: str) -> list[np.ndarray]:
    """The word vectors of each text, without those of the tokens around it."""
    table = next(t for key, t in load_file(folder / "model.safetensors").items() if name in key)
    ids, offsets = to_ragged(tokens(folder)["input_ids"])
    rows = np.split(ids, offsets[1:-1])
    return [table[row[(row != CLS) & (row != SEP)]] for row in rows]


@pytest.mark.parametrize("kind", WORDS)
@pytest.mark.parametrize("pool", ["mean", "max"])
def test_it_equals_the_lookup_by_hand(tmp_path, kind, pool):
    folder = BUILDERS[kind](tmp_path / kind)
    expected = [getattr(np, pool)(row, axis=0) for row in looked_up(folder, WORDS[kind])]
    np.testing.assert_allclose(encoded(folder, pool=pool), expected, atol=1e-6)


def test_the_ending_of_a_model_is_no_part_of_a_vector(tmp_path):
    model = Model(str(BUILDERS["llama"](tmp_path / "m")), ending="[SEP]")
    step = Encode(model, normalize=False, strategy={"kind": "static-l0"})
    table = pa.table({"id": ["a"], "text": ["the of"]})
    with Tokenize(model).open() as tokenize, step.open(Resources(device="cpu")) as encode:
        ids = tokenize(table)
        found = to_matrix(encode(ids)["embedding"], 32)
    assert ids["input_ids"][0].as_py()[-1] == SEP
    np.testing.assert_allclose(found, encoded(tmp_path / "m", ["the of"]), atol=1e-6)


def test_words_are_a_bag_and_the_first_layer_knows_places(tmp_path):
    folder = build_bert(tmp_path / "m")
    words, first = encoded(folder), encoded(folder, states="first")
    np.testing.assert_allclose(words[0], words[1], atol=1e-6)
    assert np.abs(first[0] - first[1]).max() > 1e-3


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_the_first_states_are_those_of_transformers(tmp_path, kind):
    import torch
    from transformers import AutoModel

    folder = BUILDERS[kind](tmp_path / kind)
    network = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    ids, offsets = to_ragged(tokens(folder)["input_ids"])
    expected = []
    for row in np.split(ids, offsets[1:-1]):
        inputs = torch.from_numpy(row.astype(np.int64))[None]
        with torch.inference_mode():
            states = network(inputs, output_hidden_states=True).hidden_states[0][0]
        own = torch.from_numpy((row != CLS) & (row != SEP))
        expected.append(states[own].mean(0).numpy())
    np.testing.assert_allclose(encoded(folder, states="first"), expected, atol=1e-5)


def test_units_of_many_tokens_are_taken_in_parts(tmp_path, monkeypatch):
    folder = build_bert(tmp_path / "m")
    whole = encoded(folder)
    monkeypatch.setattr(static_l0, "_TOKENS_A_PART", 3)
    np.testing.assert_array_equal(encoded(folder), whole)


def test_repeated_words_weigh_in_the_mean_and_not_in_the_maximum(tmp_path):
    folder = build_bert(tmp_path / "m")
    texts = ["the of", "the the the of"]
    top, mean = encoded(folder, texts, pool="max"), encoded(folder, texts)
    np.testing.assert_array_equal(top[0], top[1])
    assert np.abs(mean[0] - mean[1]).max() > 1e-3


def test_pieces_that_come_first_in_the_vocabulary_weigh_less(tmp_path):
    folder = build_bert(tmp_path / "m")
    (alone,) = encoded(folder, ["a"], sif=1e-3)
    rare, both = encoded(folder, ["the", "a the"], sif=1e-3)
    place = np.dot(both - alone, rare - alone) / np.dot(rare - alone, rare - alone)
    assert 0.5 < place < 1


def test_vectors_have_length_one_unless_the_config_says_otherwise(tmp_path):
    folder = build_bert(tmp_path / "m")
    np.testing.assert_allclose(
        np.linalg.norm(encoded(folder, normalize=None), axis=1), 1, atol=1e-6
    )
    assert np.abs(np.linalg.norm(encoded(folder), axis=1) - 1).max() > 0.01


def test_a_row_of_no_token_but_those_around_every_text_is_bad(tmp_path):
    folder = build_bert(tmp_path / "m")
    table = tokens(folder, ["the", "of"])
    ids = pa.array([[CLS, SEP], [CLS, 80, SEP]], pa.list_(pa.int32()))
    table = table.set_column(
        table.schema.get_field_index("input_ids"), table.schema.field("input_ids"), ids
    )
    with Encode(Model(str(folder)), strategy={"kind": "static-l0"}).open() as encode:
        errors = encode(table)["error"].to_pylist()
    assert errors == ["the model gave a vector that is not finite", None]


def test_what_a_family_has_not_is_refused_when_the_plan_is_bound(tmp_path):
    folder = BUILDERS["llama"](tmp_path / "llama")
    step = Encode(Model(str(folder)), strategy={"kind": "static-l0", "states": "first"})
    with pytest.raises(ModelError, match="take words"):
        step.bind(tokens(folder).schema)
    with pytest.raises(ValidationError, match="sif weighs a mean"):
        Encode(Model(str(folder)), strategy={"kind": "static-l0", "pool": "max", "sif": 0.001})


def test_binding_reads_headers_and_imports_neither_torch_nor_transformers(tmp_path):
    folder = build_bert(tmp_path / "m")
    code = f"""
import sys
import pyarrow as pa
from operators import columns
from operators.encode.encode import Encode
from operators.model import Model
step = Encode(Model({str(folder)!r}), strategy={{"kind": "static-l0", "states": "first"}})
bound = step.bind(pa.schema([columns.ID, columns.INPUT_IDS]))
assert columns.dim_of(bound.field("embedding")) == 32
print([name for name in ("torch", "transformers") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert done.stdout.strip() == "[]"


def test_the_first_states_of_a_real_model_are_those_of_transformers(minilm):
    import torch
    from transformers import AutoModel

    network = AutoModel.from_pretrained(minilm, dtype=torch.float32).eval()
    texts = ["A quick brown fox.", "naïve café visits, 12.5 % of them"]
    ids, offsets = to_ragged(tokens(minilm, texts)["input_ids"])
    expected = []
    for row in np.split(ids, offsets[1:-1]):
        with torch.inference_mode():
            inputs = torch.from_numpy(row.astype(np.int64))[None]
            expected.append(network.embeddings(inputs)[0, 1:-1].mean(0).numpy())
    found = encoded(minilm, texts, states="first")
    np.testing.assert_allclose(found, expected, atol=1e-5)
