"""Token states from transformers models."""

from functools import partial

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification

from operators.encode.torch_backend import load, read
from operators.errors import ModelError
from operators.model import Model, resolve
from tests.tiny_models import (
    BUILDERS,
    build_bert,
    build_classifier,
    build_gpt2,
    build_language_model,
    edit_json,
)

CPU = torch.device("cpu")
IDS = torch.tensor([[9, 8, 7, 6, 5, 4], [9, 8, 7, 0, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]])


def backend(folder, precision="fp32"):
    return load(resolve(Model(str(folder))), "m", precision, CPU)


@pytest.mark.parametrize("kind", BUILDERS)
def test_padding_changes_no_state(kind, tmp_path):
    network = backend(BUILDERS[kind](tmp_path / kind))
    with torch.inference_mode():
        alone = network.states(IDS[1:, :3], None)
        beside = network.states(IDS, MASK)[1:, :3]
    assert alone.shape == (1, 3, 32)
    torch.testing.assert_close(beside, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen3"])
def test_padding_on_the_left_of_a_decoder_gives_the_states_of_the_right(kind, tmp_path):
    network = backend(BUILDERS[kind](tmp_path / kind))
    assert network.numbers_positions
    with torch.inference_mode():
        right = network.states(IDS, MASK)[1, :3]
        left = network.states(IDS[1:].roll(3, 1), MASK[1:].roll(3, 1))[0, 3:]
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "build"),
    [
        *((AutoModel, BUILDERS[kind]) for kind in ("gpt2", "llama", "qwen3")),
        (AutoModelForCausalLM, build_language_model),
        (AutoModelForCausalLM, partial(build_language_model, kind="gemma2")),
        (AutoModelForSequenceClassification, partial(build_classifier, kind="llama")),
    ],
)
def test_a_decoder_keeps_no_keys_and_values_of_a_pass(family, build, tmp_path):
    folder = resolve(Model(str(build(tmp_path / "m"))))
    network = read(family, folder, "m", "fp32", ("rotary_emb.",)).eval()
    for whole in (network, network.base_model):
        with torch.inference_mode():
            assert whole(input_ids=IDS, attention_mask=MASK).get("past_key_values") is None


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_weights_are_loaded_in_the_precision_asked(precision, tmp_path):
    network = backend(build_bert(tmp_path / "m"), precision)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    assert network.network.dtype == dtype
    assert not network.network.training
    assert network.states(IDS, MASK).dtype == dtype


def test_weights_that_lack_a_tensor_are_refused(tmp_path):
    folder = build_gpt2(tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    weights = {name: np.array(value) for name, value in weights.items() if "ln_f" not in name}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"its weights lack 2 tensors, the first is ln_f.bias"):
        backend(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "no-such-type"}, "transformers cannot load it"),
        ({"model_type": "bart", "is_encoder_decoder": True}, "bart has a decoder"),
        ({"hidden_size": 30}, "transformers cannot load it"),
    ],
)
def test_a_model_that_cannot_be_loaded_gets_one_sentence(tmp_path, change, said):
    folder = build_bert(tmp_path / "m")
    edit_json(folder / "config.json", **change)
    with pytest.raises(ModelError, match=said) as caught:
        backend(folder)
    assert "\n" not in str(caught.value)


def test_the_encoder_of_t5_is_loaded_without_its_decoder(tmp_path):
    from transformers import T5Config, T5EncoderModel

    from tests.tiny_models import VOCABULARY, save_tokenizer

    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 2}
    T5EncoderModel(T5Config(**sizes, vocab_size=len(VOCABULARY))).save_pretrained(tmp_path / "t5")
    save_tokenizer(tmp_path / "t5", "$A [SEP]", 64)
    edit_json(tmp_path / "t5" / "config.json", is_encoder_decoder=True)
    assert backend(tmp_path / "t5").states(IDS, MASK).shape == (2, 6, 32)


def test_loading_says_nothing_and_leaves_logging_as_it_was(tmp_path, capfd):
    from transformers.utils import logging

    folder = build_bert(tmp_path / "m")
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    capfd.readouterr()
    backend(folder)
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (level, bars)
