"""Special tokens behind a text: their embeddings, their blindness, their vectors."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.numpy import save

from operators import columns
from operators.arrays import to_matrix
from operators.base import Resources
from operators.encode.encode import Encode
from operators.encode.torch_backend import load
from operators.encode.vocabulary import add_tokens
from operators.errors import ModelError, TableError
from operators.model import Model, resolve
from operators.quantize.artefact import digest_of
from operators.text.tokenizer import Tokenize
from pipelines.fingerprint import step_identity
from tests.tiny_models import BUILDERS, build_bert, build_gpt2, build_language_model, build_llama
from tests.windowed_models import build_gemma3

SCHEMA = pa.schema([columns.ID, columns.INPUT_IDS, columns.TRUNCATED])
ROWS = np.random.default_rng(5).normal(size=(3, 32)).astype(np.float32)


def step(folder, *, normalize=None, **fields):
    return Encode(Model(str(folder)), normalize=normalize, strategy={"kind": "gem", **fields})


def saved(folder, arrays):
    data = save(arrays)
    place = folder / f"{digest_of(data)}.safetensors"
    place.write_bytes(data)
    return str(place)


def encoded(folder, texts, **fields):
    table = pa.table({"id": [str(n) for n in range(len(texts))], "text": texts})
    with Tokenize(Model(str(folder))).open() as tokenize:
        table = tokenize(table)
    with step(folder, **fields).open(Resources(device="cpu")) as apply:
        return table, apply(table)


def test_what_it_cannot_do_is_refused_when_the_plan_is_bound(tmp_path):
    with pytest.raises(ModelError, match="leave strategy gem out"):
        step(build_bert(tmp_path / "bert")).bind(SCHEMA)
    llama = build_llama(tmp_path / "llama")
    with pytest.raises(ModelError, match="no room for 64 special ones"):
        step(llama, tokens=64).bind(SCHEMA)
    with pytest.raises(ModelError, match=r"one tensor of shape \(2, 32\), it holds \(3, 32\)"):
        step(llama, tokens=2, artefact=saved(tmp_path, {"rows": ROWS})).bind(SCHEMA)
    renamed = tmp_path / "special_embeddings.safetensors"
    renamed.write_bytes(save({"rows": ROWS}))
    with pytest.raises(TableError, match="its bytes have digest"):
        step(llama, tokens=3, artefact=str(renamed)).bind(SCHEMA)
    with pytest.raises(ValueError, match="pools in a way of its own"):
        Encode(Model(str(llama)), pooling="mean", strategy={"kind": "gem"})


@pytest.mark.parametrize("pool", ["mean", "concat"])
@torch.inference_mode()
def test_a_vector_is_made_of_the_states_of_trained_tokens_that_see_the_text(tmp_path, pool):
    """Each special token alone behind the text gives the state it has among the others, but for
    its place, which the positions tell."""
    folder = build_llama(tmp_path / "m")
    place = saved(tmp_path, {"rows": ROWS})
    table, out = encoded(
        folder, ["the quick fox", "x"], tokens=3, pool=pool, artefact=place, normalize=False
    )
    backend = load(resolve(Model(str(folder))), "m", "fp32", torch.device("cpu"))
    first = add_tokens(backend.network, torch.from_numpy(ROWS), "m")
    dim = 96 if pool == "concat" else 32
    for ids, vector in zip(
        table["input_ids"].to_pylist(), to_matrix(out["embedding"], dim), strict=True
    ):
        states = []
        for number in range(3):
            told = torch.arange(len(ids) + 1)
            told[-1] += number
            found = backend.network(
                input_ids=torch.tensor([[*ids, first + number]]),
                attention_mask=torch.ones_like(told)[None],  # or the jump would begin another text
                position_ids=told[None],
            )
            states.append(found[0][0, -1].numpy())
        wanted = np.concatenate(states) if pool == "concat" else np.mean(states, axis=0)
        np.testing.assert_allclose(vector, wanted, atol=2e-5)


@pytest.mark.parametrize("kind", ["gpt2", "qwen3", "gemma3"])
def test_untrained_tokens_are_the_same_for_a_seed_and_others_for_another(tmp_path, kind):
    folder = {**BUILDERS, "gemma3": build_gemma3}[kind](tmp_path / "m")
    first, again, other = (
        to_matrix(encoded(folder, ["the fox"], tokens=2, seed=seed)[1]["embedding"], 32)
        for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_equal_rows_are_refused_in_the_precision_of_the_network(tmp_path):
    network = load(
        resolve(Model(str(build_llama(tmp_path / "m")))), "m", "bf16", torch.device("cpu")
    ).network
    rows = torch.ones(2, 32)
    rows[1] += 1e-4  # bf16 does not see it
    with pytest.raises(ModelError, match=r"same embedding in torch\.bfloat16"):
        add_tokens(network, rows, "m")


def test_the_text_makes_room_for_its_special_tokens_and_says_so(tmp_path):
    folder = build_gpt2(tmp_path / "m")
    table, out = encoded(folder, ["the " * 61, "the " * 62], tokens=3)
    assert table["truncated"].to_pylist() == [False, False]
    assert out["truncated"].to_pylist() == [False, True]
    one, other = to_matrix(out["embedding"], 32)
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_more_special_tokens_than_the_text_that_tries_the_model_has_are_taken(tmp_path):
    folder = build_language_model(tmp_path / "m", "llama")  # 128 positions
    _, out = encoded(folder, ["the fox", "of it"], tokens=64, normalize=False)
    one, other = to_matrix(out["embedding"], 32)
    assert np.abs(one - other).max() > 1e-3


def test_trained_rows_count_by_their_content_wherever_they_lie(tmp_path):
    folder = build_llama(tmp_path / "m")
    (tmp_path / "a").mkdir()
    places = [saved(home, {"rows": ROWS}) for home in (tmp_path, tmp_path / "a")]
    one, other = (step_identity(step(folder, tokens=3, artefact=place)) for place in places)
    assert one == other
    assert one != step_identity(step(folder, tokens=3))
