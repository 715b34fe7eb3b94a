"""Heads of causal language models, and what is checked when one is opened."""

import pytest
import torch

from operators.errors import ModelError
from operators.model import Model, resolve
from operators.teach import decoder as decoders
from operators.teach import probe
from operators.teach.decoder import Decoder, check_head, likelihood, load
from operators.teach.prompts import parse, prompter
from tests.tiny_models import build_language_model, edit_json

KINDS = ["gpt2", "llama-lm", "qwen3", "gemma2"]


def opened(folder, precision="fp32"):
    found = resolve(Model(str(folder)))
    return found, Decoder("m", *load(found, "m", precision, torch.device("cpu")), likelihood)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_sound_models_pass(folders, kind, precision):
    folder, decoder = opened(folders(kind), precision)
    prompts = prompter(folder, parse("{text} of {query}", "m"))
    probe.check_decoder(folder, decoder, precision, prompts)


@pytest.mark.parametrize("kind", KINDS)
def test_few_logits_at_once_are_the_same_logits(folders, kind, monkeypatch):
    _, decoder = opened(folders(kind))
    states = torch.randn(9, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = torch.cat(list(decoder.head(states)))
        monkeypatch.setattr(decoders, "_LOGITS", 2 * whole.shape[1])
        parts = list(decoder.head(states))
    assert [len(part) for part in parts] == [2, 2, 2, 2, 1]
    torch.testing.assert_close(torch.cat(parts), whole)


def test_a_head_with_a_step_of_its_own_is_refused(folders):
    _, decoder = opened(folders("gpt2"))
    forward = decoder.network.forward

    def scaled(input_ids):
        found = forward(input_ids)
        found.logits = found.logits * 2
        return found

    decoder.network.forward = scaled
    with pytest.raises(ModelError, match="does more than its head to make logits"):
        check_head(decoder, "fp32", [4, 5, 6])


def test_a_model_without_its_own_head_is_refused(tmp_path):
    from tests.tiny_models import build_llama

    with pytest.raises(ModelError, match=r"lack 1 tensors, the first is lm_head.weight"):
        opened(build_llama(tmp_path / "m"))


def test_a_length_without_room_for_a_text_is_refused(tmp_path):
    folder = build_language_model(tmp_path / "m")
    edit_json(folder / "tokenizer_config.json", model_max_length=24)
    found, decoder = opened(folder)
    prompts = prompter(found, parse("a long template of many words {text} {query}", "m"))
    with pytest.raises(ModelError, match="24 tokens leave no room for a text"):
        probe.check_decoder(found, decoder, "fp32", prompts)
