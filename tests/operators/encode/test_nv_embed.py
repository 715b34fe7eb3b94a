"""Latent attention under released names: what it computes, and what it leaves out."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from operators import columns
from operators.arrays import to_matrix
from operators.base import Resources
from operators.encode.changed import Changed
from operators.encode.encode import Encode
from operators.encode.latents import Latents, load
from operators.encode.loop import Ragged
from operators.encode.nv_embed import ended
from operators.encode.shape import decide
from operators.encode.strategy import Opening
from operators.errors import ModelError
from operators.model import Model, resolve
from operators.text.tokenizer import Tokenize
from tests.tiny_heads import build_nv_embed
from tests.tiny_models import SEP, build_llama, edit_json, save_tokenizer

SCHEMA = pa.schema([columns.ID, columns.INPUT_IDS])
TEXTS = ["the quick brown fox", "of", "a cafe, 12.5 % of it; and doesn't jump over the end"]
PREFIX = "latent_attention_model."
PROMPT = "Instruct: find it\nQuery: "


def step(folder, kind="nv-embed", *, pooling="auto", **own):
    return Encode(Model(str(folder)), pooling=pooling, strategy={"kind": kind, **own})


def encoded(folder, encode, prompt=None):
    table = pa.table({"id": [str(n) for n in range(len(TEXTS))], "text": TEXTS})
    with (
        Tokenize(Model(str(folder)), prompt=prompt).open() as tokenize,
        encode.open(Resources(device="cpu")) as apply,
    ):
        tokens = tokenize(table)
        return tokens, to_matrix(apply(tokens)["embedding"], 32)


def edited(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def bare(folder, home):
    """The same decoder as a folder of its own, whose tokenizer marks the end."""
    home.mkdir()
    weights = load_file(folder / "model.safetensors")
    body = {n.removeprefix("embedding_model."): w for n, w in weights.items() if "embedding" in n}
    save_file(body, home / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())["text_config"]
    edit_json(home / "config.json", **config | {"model_type": "mistral"})
    return save_tokenizer(home, "[CLS] $A [SEP]", 64)


def without_latents(weights):
    for name in ("cross_attend_blocks.0.fn.to_out.weight", "cross_attend_blocks.1.fn.net.2.weight"):
        weights[PREFIX + name].zero_()
    weights[PREFIX + "cross_attend_blocks.1.fn.net.2.bias"].zero_()


@pytest.fixture
def folder(tmp_path):
    return build_nv_embed(tmp_path / "m")


def test_with_nothing_from_the_latents_it_is_the_mean_of_a_decoder_that_sees_both_ways(
    folder, tmp_path
):
    edited(folder, without_latents)
    plain = bare(folder, tmp_path / "plain")
    _, expected = encoded(plain, step(plain, "ullme", pooling="mean"))
    np.testing.assert_allclose(encoded(folder, step(folder))[1], expected, atol=1e-5)


class Fixed:
    """A backend of given states."""

    def __init__(self, states):
        self.given = states

    def states(self, ids, mask):
        return self.given


def latents(folder, states, heads):
    weights = load_file(folder / "model.safetensors")
    own = {n.removeprefix(PREFIX): w for n, w in weights.items() if n.startswith(PREFIX)}
    return own, Changed(Fixed(states), Latents(own, heads))


def test_the_attention_is_that_of_the_formula_head_by_head(folder):
    states = torch.randn(2, 4, 32, generator=torch.Generator().manual_seed(1))
    own, asked = latents(folder, states, 2)

    def normed(x, name):
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * own[name + ".weight"] + own[name + ".bias"]

    first, second = "cross_attend_blocks.0.", "cross_attend_blocks.1."
    context = normed(own["latents"], first + "norm_context")
    query = normed(states, first + "norm") @ own[first + "fn.to_q.weight"].T
    key, value = (context @ own[first + "fn.to_kv.weight"].T).split(64, dim=-1)
    heads = []
    for part in (slice(0, 32), slice(32, 64)):
        weight = (query[..., part] @ key[:, part].T / 32**0.5).softmax(-1)
        heads.append(weight @ value[:, part])
    states = torch.cat(heads, -1) @ own[first + "fn.to_out.weight"].T + states
    wide = normed(states, second + "norm") @ own[second + "fn.net.0.weight"].T
    left, gate = (wide + own[second + "fn.net.0.bias"]).split(128, dim=-1)
    gated = left * torch.nn.functional.gelu(gate)
    expected = gated @ own[second + "fn.net.2.weight"].T + own[second + "fn.net.2.bias"] + states
    torch.testing.assert_close(asked.states(None, None), expected, atol=1e-4, rtol=1e-4)


def test_one_latent_tells_every_token_the_same(tmp_path):
    folder = build_nv_embed(tmp_path / "m", latents=1)
    states = torch.randn(1, 6, 32, generator=torch.Generator().manual_seed(2))
    own, _ = latents(folder, states, 2)
    for part in ("weight", "bias"):
        own[f"cross_attend_blocks.1.fn.net.2.{part}"].zero_()
    told = Changed(Fixed(states), Latents(own, 2)).states(None, None) - states
    torch.testing.assert_close(told, told[:, :1].expand_as(told), atol=1e-5, rtol=1e-5)


def test_an_instruction_is_seen_and_left_out_and_the_release_keeps_its_last_token(folder, tmp_path):
    edited(folder, without_latents)
    tokens, strict = encoded(folder, step(folder), PROMPT)
    leading = tokens["prompt_tokens"].to_pylist()
    with Tokenize(Model(str(folder)), prompt="").open() as tokenize:
        alone = tokenize(pa.table({"id": ["p"], "text": [PROMPT]}))
    assert set(leading) == {len(alone["input_ids"][0])}  # the first token and the instruction
    _, release = encoded(folder, step(folder, instruction="release"), PROMPT)
    plain = bare(folder, tmp_path / "plain")
    for cut, found in ((leading[0], strict), (leading[0] - 1, release)):
        table = tokens.drop_columns(["prompt_tokens"]).append_column(
            columns.PROMPT_TOKENS, pa.array([cut] * len(tokens), pa.int32())
        )
        marked = [[*row, SEP] for row in table["input_ids"].to_pylist()]
        table = table.set_column(
            table.schema.get_field_index("input_ids"),
            "input_ids",
            pa.array(marked, pa.list_(pa.int32())),
        )
        with step(plain, "ullme", pooling="mean").open(Resources(device="cpu")) as apply:
            expected = to_matrix(apply(table)["embedding"], 32)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(strict - release).max() > 1e-3
    _, none = encoded(folder, step(folder))
    assert np.abs(strict - none).max() > 1e-3


@given(st.lists(st.lists(st.integers(0, 5), max_size=4), max_size=6))
def test_every_row_ends_in_the_mark_once_added(rows):
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int32)
    found = ended(Ragged(np.array([each for row in rows for each in row], np.int32), offsets), 5)
    told = [found.ids[a:b].tolist() for a, b in zip(found.offsets, found.offsets[1:], strict=False)]
    assert told == [row if row[-1:] == [5] else [*row, 5] for row in rows]


def test_its_decoder_keeps_no_keys_and_values_of_a_pass(folder):
    found, cpu = resolve(Model(str(folder))), torch.device("cpu")
    shape = decide(found, "m", "auto", None)
    decoder, _, _ = load(Opening(found, "m", shape, "fp32", cpu, "torch", 4096))
    with torch.inference_mode():
        passed = decoder.network(input_ids=torch.tensor([[9, 8, 7]]))
    assert passed.past_key_values is None


def test_missing_weights_are_named(folder):
    edited(folder, lambda weights: weights.pop(PREFIX + "cross_attend_blocks.0.norm.bias"))
    with pytest.raises(ModelError, match=r"lack 1 tensors of NV-Embed.*blocks\.0\.norm\.bias"):
        step(folder).open(Resources(device="cpu")).__enter__()
    edited(
        folder,
        lambda weights: weights.update(
            {PREFIX + "cross_attend_blocks.0.norm.bias": torch.zeros(32)}
        ),
    )
    edited(folder, lambda weights: weights.pop("embedding_model.norm.weight"))
    with pytest.raises(ModelError, match=r"the first is embedding_model\.norm\.weight"):
        step(folder).open(Resources(device="cpu")).__enter__()


def test_another_model_and_another_pooling_are_refused(folder, tmp_path):
    with pytest.raises(ModelError, match="is no NV-Embed"):
        step(build_llama(tmp_path / "llama")).bind(SCHEMA)
    with pytest.raises(ValueError, match="pools in a way of its own"):
        step(folder, pooling="last").bind(SCHEMA)
