"""What is checked when a model is opened."""

import json

import pytest
import torch

from operators.encode.embedder import build
from operators.encode.probe import self_check
from operators.encode.shape import decide
from operators.errors import ModelError
from operators.model import Model, resolve
from tests.tiny_models import (
    BUILDERS,
    VOCABULARY,
    break_token,
    build_bert,
    edit_json,
    save_model,
    save_tokenizer,
)


def check(folder, precision="fp32", pooling="auto", spoil=None):
    found = resolve(Model(str(folder)))
    shape = decide(found, "m", pooling, None)
    embedder = build(found, "m", shape, precision, torch.device("cpu"))
    if spoil:
        spoil(embedder.backend.network)
    self_check(found, shape, embedder)


@pytest.mark.parametrize("kind", BUILDERS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_sound_models_pass(kind, precision, tmp_path):
    check(BUILDERS[kind](tmp_path / kind), precision)


def test_a_folder_in_lower_case_passes(tmp_path):
    folder = build_bert(tmp_path / "m")
    edit_json(folder / "sentence_bert_config.json", do_lower_case=True)
    check(folder)


def test_a_tokenizer_that_differs_from_the_models_own_is_refused(tmp_path):
    folder = build_bert(tmp_path / "m")
    edit_json(folder / "tokenizer_config.json", tokenizer_class="BertTokenizer")
    spec = json.loads((folder / "tokenizer.json").read_text())
    spec["normalizer"]["lowercase"] = False
    (folder / "tokenizer.json").write_text(json.dumps(spec))
    with pytest.raises(ModelError, match=r"tokenizer.json gives other tokens than"):
        check(folder)


def ignore_mask(network):
    forward = network.forward
    network.forward = lambda input_ids, attention_mask: forward(input_ids)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_model_that_sees_its_padding_is_refused(tmp_path, precision):
    with pytest.raises(ModelError, match="its padding is not left out"):
        check(build_bert(tmp_path / "m"), precision, spoil=ignore_mask)


def test_a_model_of_broken_weights_is_refused(tmp_path):
    folder = build_bert(tmp_path / "m")
    break_token(folder, "[CLS]")
    with pytest.raises(ModelError, match="gives vectors that are not finite"):
        check(folder)


def test_attention_that_contradicts_the_guessed_pooling_is_refused(tmp_path):
    from transformers import BloomConfig

    causal = tmp_path / "causal"
    sizes = {"hidden_size": 32, "n_layer": 1, "n_head": 2, "vocab_size": len(VOCABULARY)}
    save_model(BloomConfig(**sizes), causal, 0)
    save_tokenizer(causal, "$A", 64)
    edit_json(causal / "config.json", architectures=["NewModel"])
    with pytest.raises(ModelError, match=r"looks only back, which its config.json does not say"):
        check(causal)
    check(causal, pooling="last")


def test_a_decoder_that_looks_both_ways_is_noticed(tmp_path):
    from transformers import BertConfig

    folder = tmp_path / "both"
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    save_model(BertConfig(**sizes, num_hidden_layers=1, vocab_size=len(VOCABULARY)), folder, 0)
    save_tokenizer(folder, "$A", 64)
    edit_json(folder / "config.json", architectures=["BertForCausalLM"])
    with pytest.raises(ModelError, match="looks both ways"):
        check(folder)
