"""What is checked when a cross-encoder is opened."""

import json

import pytest
import torch

from operators.errors import ModelError
from operators.model import Model, resolve
from operators.teach import classifier, probe
from operators.text.paired import encode_pairs, paired
from tests.tiny_models import break_token, build_classifier, edit_json

CPU = torch.device("cpu")


def load(folder, precision="fp32"):
    found = resolve(Model(str(folder)))
    return classifier.load(found, "m", precision, CPU, paired(found))


@pytest.mark.parametrize("kind", ["bert", "roberta", "modernbert", "llama"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_sound_models_pass(folders, kind, precision):
    assert load(folders(kind), precision).has_types == (kind == "bert")


def test_a_folder_in_lower_case_passes(tmp_path):
    folder = build_classifier(tmp_path / "m")
    edit_json(folder / "sentence_bert_config.json", do_lower_case=True)
    load(folder)


def test_a_model_that_sees_its_padding_is_refused(folders):
    found = resolve(Model(str(folders("bert"))))
    sound = load(folders("bert"))
    forward = sound.network.forward
    sound.network.forward = lambda input_ids, attention_mask, **types: forward(input_ids, **types)
    rows = encode_pairs(paired(found), ["the fox", "of"], ["of and 12%", "x"])
    with pytest.raises(ModelError, match="its padding is not left out"):
        probe.check_padding(sound, "fp32", *rows)


def test_a_model_of_broken_weights_is_refused(tmp_path):
    folder = build_classifier(tmp_path / "m")
    break_token(folder, "[CLS]")
    with pytest.raises(ModelError, match="gives a logit that is not finite"):
        load(folder)


def test_weights_without_a_head_are_refused(tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = build_classifier(tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"lack 1 tensors, the first is classifier.weight"):
        load(folder)


def test_a_tokenizer_that_differs_from_the_models_own_is_refused(tmp_path):
    folder = build_classifier(tmp_path / "m")
    edit_json(folder / "tokenizer_config.json", tokenizer_class="BertTokenizer")
    spec = json.loads((folder / "tokenizer.json").read_text())
    spec["normalizer"]["lowercase"] = False
    (folder / "tokenizer.json").write_text(json.dumps(spec))
    with pytest.raises(ModelError, match=r"gives a pair other tokens than its AutoTokenizer"):
        load(folder)


def test_token_types_that_do_not_follow_the_texts_are_refused(tmp_path):
    folder = build_classifier(tmp_path / "m")
    spec = json.loads((folder / "tokenizer.json").read_text())
    for piece in spec["post_processor"]["pair"]:
        for part in piece.values():
            part["type_id"] = 1 - part["type_id"]
    (folder / "tokenizer.json").write_text(json.dumps(spec))
    with pytest.raises(ModelError, match="token types are not zeros for the first text"):
        load(folder)
