"""The last state put in front of the text: who is changed by it, and who is not."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from operators import columns
from operators.arrays import to_matrix
from operators.base import Resources
from operators.encode import depth, torch_backend, vocabulary
from operators.encode.changed import Changed
from operators.encode.encode import Encode
from operators.encode.prepending import Prepending
from operators.encode.token_prepending import META
from operators.errors import ModelError
from operators.model import Model, resolve
from operators.text.tokenizer import Tokenize, load
from tests.tiny_models import build_bert, build_gpt2, build_llama, edit_json
from tests.windowed_models import build_gemma3

SCHEMA = pa.schema([columns.ID, columns.INPUT_IDS, columns.TRUNCATED])
SHORT = 'of <PST> "{text}" is:"'
PLACE = 3
IDS = torch.tensor([[2, 9, 14, 30, 3, 8], [2, 9, 14, 30, 7, 0]])
MASK = torch.tensor([[1] * 6, [1] * 5 + [0]])


def step(folder, *, normalize=None, **fields):
    own = {"kind": "token-prepending", "prompts": [SHORT], "stop": 2, "out": -1, **fields}
    return Encode(Model(str(folder)), normalize=normalize, strategy=own)


def encoded(folder, texts, **fields):
    table = pa.table({"id": [str(n) for n in range(len(texts))], "text": texts})
    with Tokenize(Model(str(folder))).open() as tokenize:
        table = tokenize(table)
    with step(folder, **fields).open(Resources(device="cpu")) as apply:
        return table, apply(table)


def layers_of_states(backend, network):
    """The input of each layer and the network's output."""
    seen = []
    layers = depth.layers_of(network, 4)
    hooks = [
        layer.register_forward_hook(lambda _, given, __: seen.append(given[0])) for layer in layers
    ]
    last = backend.states(IDS, MASK)
    for hook in hooks:
        hook.remove()
    return [*seen, last]


@torch.inference_mode()
def test_states_before_the_place_stay_and_those_behind_it_move_from_the_first_layer_on(tmp_path):
    folder = resolve(Model(str(build_gemma3(tmp_path / "m", layers=4))))
    plain = torch_backend.load(folder, "m", "fp32", torch.device("cpu"))
    network = plain.network
    layers = tuple(depth.layers_of(network, 4))
    vanilla = layers_of_states(plain, network)
    changed = layers_of_states(Changed(plain, Prepending(layers[1:3], PLACE)), network)
    torch.testing.assert_close(changed[0], vanilla[0], atol=0, rtol=0)
    others = torch.arange(6) != PLACE
    assert torch.equal(changed[1][:, others], vanilla[1][:, others])
    for row, last in ((0, 5), (1, 4)):
        assert torch.equal(changed[1][row, PLACE], vanilla[1][row, last])
        assert torch.equal(changed[2][row, PLACE], changed[2][row, last])
    for one, other in zip(changed, vanilla, strict=True):
        assert torch.equal(one[:, :PLACE], other[:, :PLACE])
    assert (changed[-1] - vanilla[-1])[0, -1].abs().max() > 1e-3
    nothing = layers_of_states(Changed(plain, Prepending((), PLACE)), network)
    assert all(torch.equal(one, other) for one, other in zip(nothing, vanilla, strict=True))


@pytest.mark.parametrize("out", [-2, -1])
@torch.inference_mode()
def test_without_prepending_a_vector_is_the_last_tokens_state_of_the_framed_text(tmp_path, out):
    folder = build_llama(tmp_path / "m")
    whole = torch_backend.network(resolve(Model(str(folder))), "m", "fp32").eval()
    table, found = encoded(folder, ["the fox"], start=1, stop=1, out=out, normalize=False)
    row = vocabulary.table(whole).mean(0, keepdim=True)
    token = vocabulary.add_tokens(whole, row, "m")
    encoder = load(resolve(Model(str(folder))))
    parts = [encoder.encode(part, add_special_tokens=False).ids for part in ("of", '"', '" is:"')]
    ids = table["input_ids"][0].as_py()
    framed = [ids[0], *parts[0], token, *parts[1], *ids[1:], *parts[2]]
    depth.without_final_norm(whole, resolve(Model(str(folder))))
    states = whole(input_ids=torch.tensor([framed]), output_hidden_states=True).hidden_states
    wanted = states[1 if out == -2 else 2][0, -1].numpy()
    np.testing.assert_allclose(to_matrix(found["embedding"], 32)[0], wanted, atol=1e-5)


def test_a_decoder_whose_layers_end_in_a_norm_of_their_own_keeps_it(tmp_path):
    folder = build_bert(tmp_path / "m")
    edit_json(folder / "config.json", architectures=["BertLMHeadModel"], is_decoder=True)
    _, found = encoded(folder, ["the fox", "of it"], normalize=False)
    one, other = to_matrix(found["embedding"], 32)
    assert np.abs(one - other).max() > 1e-3


def test_prepending_changes_the_vector_and_several_prompts_are_averaged(tmp_path):
    folder = build_gpt2(tmp_path / "m")

    def vector(*prompts, stop=2):
        found = encoded(folder, ["the fox"], prompts=prompts, stop=stop, normalize=False)
        return to_matrix(found[1]["embedding"], 32)[0]

    other = '<PST> {text} the:"'
    assert np.abs(vector(SHORT) - vector(SHORT, stop=1)).max() > 1e-3
    wanted = (vector(SHORT) + vector(other)) / 2
    np.testing.assert_allclose(vector(SHORT, other), wanted, atol=1e-5)


def test_a_text_is_cut_inside_of_its_frame_and_marked(tmp_path):
    folder = build_gpt2(tmp_path / "m")
    _, found = encoded(folder, ["the " * 40, "the " * 63, "the " * 90])
    assert found["truncated"].to_pylist() == [False, True, True]
    vectors = to_matrix(found["embedding"], 32)
    np.testing.assert_allclose(vectors[1], vectors[2], atol=1e-5)


def test_the_eight_prompts_are_of_one_frame_each():
    assert len(set(META)) == 8
    assert all(each.count("<PST>") == each.count("{text}") == 1 for each in META)


@pytest.mark.parametrize(
    "template", ["{text} means", "<PST> means", "{text} <PST>", "<PST>{text}{text}"]
)
def test_a_template_without_its_two_places_is_refused(tmp_path, template):
    with pytest.raises(ValueError, match="should hold <PST> once, and then"):
        step(tmp_path, prompts=[template])


def test_what_it_cannot_do_is_refused_when_the_plan_is_bound(tmp_path):
    with pytest.raises(ModelError, match="leave strategy token-prepending out"):
        step(build_bert(tmp_path / "bert")).bind(SCHEMA)
    llama = build_llama(tmp_path / "llama")
    with pytest.raises(ModelError, match="it has 2 layers; start 1, stop 6 and out -2"):
        step(llama, stop=6, out=-2).bind(SCHEMA)
    with pytest.raises(ModelError, match="no room for a text"):
        encoded(llama, ["x"], prompts="meta-eol")
