"""Strategies on real weights: what a library computes by hand, and whether texts are told apart."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from operators.arrays import to_matrix
from operators.base import Resources
from operators.encode.encode import Encode
from operators.model import Model
from operators.text.tokenizer import Tokenize

TEXTS = [
    "A cat sleeps on the warm roof.",
    "On the roof in the sun lies a sleeping cat.",
    "The central bank raised its interest rates again.",
]


def vectors(folder, strategy, dim, **encode):
    model = Model(str(folder), max_length=64)
    table = pa.table({"id": list("abc"), "text": TEXTS})
    with Tokenize(model).open() as tokenize:
        table = tokenize(table)
    step = Encode(model, strategy=strategy, **encode)
    with step.open(Resources(device="cpu")) as apply:
        return to_matrix(apply(table)["embedding"], dim)


def nearest(found):
    """The cosines of the first text with the one that means the same, and with the other."""
    return found[0] @ found[1], found[0] @ found[2]


def test_minilm_cut_in_both_ways_gives_the_prefix_of_its_own_layers_mean(minilm):
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(minilm)
    network = AutoModel.from_pretrained(minilm).eval()
    with torch.inference_mode():
        asked = tokenizer(TEXTS, padding=True, return_tensors="pt")
        states = network(**asked, output_hidden_states=True).hidden_states[4]
        mask = asked["attention_mask"].unsqueeze(2)
        wanted = ((states * mask).sum(1) / mask.sum(1))[:, :128]
        wanted = torch.nn.functional.normalize(wanted, dim=1).numpy()
    found = vectors(minilm, {"kind": "2dmse", "layers": 4, "dims": 128}, 128)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    same, other = nearest(found)
    assert same > other + 0.1


def test_minilm_in_context_still_tells_texts_apart(minilm):
    same, other = nearest(vectors(minilm, {"kind": "rcnn-pool"}, 3 * 384))
    assert same > other + 0.1


@pytest.mark.long
def test_a_prompt_around_a_text_makes_a_real_gemma_tell_texts_apart(gemma):
    same, other = nearest(vectors(gemma, {"kind": "token-prepending"}, 640, precision="bf16"))
    assert same > other
