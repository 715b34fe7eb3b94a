"""A decoder that sees both ways: refusals, and that it truly does."""

import pyarrow as pa
import pytest

from operators import columns
from operators.base import Resources
from operators.encode.encode import Encode
from operators.errors import ModelError
from operators.model import Model
from operators.text.tokenizer import Tokenize
from tests.tiny_models import BUILDERS, build_bert, edit_json
from tests.windowed_models import WINDOWED, build_gemma3

SCHEMA = pa.schema([columns.ID, columns.INPUT_IDS])


def step(folder, **fields):
    return Encode(Model(str(folder)), strategy={"kind": "ullme"}, **fields)


def test_an_encoder_needs_no_such_mask(tmp_path):
    with pytest.raises(ModelError, match="both ways already"):
        step(build_bert(tmp_path / "m")).bind(SCHEMA)


def test_a_gpt_neo_is_refused_for_it_hides_later_tokens_itself(tmp_path):
    folder = BUILDERS["gpt2"](tmp_path / "m")
    edit_json(folder / "config.json", model_type="gpt_neo")
    with pytest.raises(ModelError, match="gpt_neo hides later tokens"):
        step(folder).bind(SCHEMA)


def test_a_decoder_with_layers_that_take_no_mask_is_refused(tmp_path):
    folder = build_gemma3(tmp_path / "m")
    edit_json(folder / "config.json", layer_types=["linear_attention", "full_attention"])
    with pytest.raises(ModelError, match="layers of linear_attention, which take no mask"):
        step(folder).bind(SCHEMA)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3", "modernbert-decoder"])
def test_the_first_token_sees_the_last_and_only_then(tmp_path, kind):
    folder = (BUILDERS | WINDOWED)[kind](tmp_path / "m")
    table = pa.table({"id": ["a", "b"], "text": ["the quick brown fox", "the quick brown jump"]})
    with Tokenize(Model(str(folder))).open() as tokenize:
        table = tokenize(table)
    found = {}
    for strategy in (None, {"kind": "ullme"}):
        encode = Encode(Model(str(folder)), pooling="cls", strategy=strategy)
        with encode.open(Resources(device="cpu")) as apply:
            one, other = apply(table)["embedding"].to_pylist()
        found[strategy is None] = one == other
    assert found == {True: True, False: False}


def test_a_graph_of_openvino_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not computed by backend openvino"):
        step(tmp_path, backend="openvino")
