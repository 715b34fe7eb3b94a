"""Rows end to end: the vectors of padded rows, without the padding."""

import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from operators.arrays import to_matrix
from operators.base import Resources
from operators.encode import varlen
from operators.encode.batches import compiled, faster, loop_of
from operators.encode.device import token_budget
from operators.encode.embedder import opened
from operators.encode.encode import Encode
from operators.encode.loop import Loop, Ragged
from operators.encode.shape import decide
from operators.encode.strategy import Opening
from operators.errors import ModelError
from operators.measures import MODEL_TOKENS, PADDED_TOKENS, measured
from operators.model import Model, resolve
from operators.text.tokenizer import Tokenize
from tests.cuda_devices import CUDA
from tests.tiny_models import BUILDERS, build_bert
from tests.windowed_models import WINDOWED

CPU = torch.device("cpu")
TEXTS = ["the fox", "of", "the quick brown fox", "and the fox", "a the of and 12.5 of it", "of"]
VARLEN = Resources(batches="varlen", token_budget=40)


def opening(folder, **changed):
    found = resolve(Model(str(folder)))
    shape = decide(found, str(folder), "auto", None)
    given = Opening(found, str(folder), shape, "fp32", CPU, "torch", 40, "varlen")
    return replace(given, **changed)


def encoded(folder, on, pooling="auto"):
    model = Model(str(folder))
    with Tokenize(model).open() as tokenize:
        rows = tokenize(pa.table({"id": [str(row) for row in range(len(TEXTS))], "text": TEXTS}))
    with Encode(model, pooling=pooling).open(on) as encode:
        found = encode(rows)["embedding"]
    return to_matrix(found, len(found[0]))


@pytest.mark.parametrize("kind", BUILDERS)
def test_rows_end_to_end_give_the_vectors_of_padded_rows(kind, tmp_path):
    folder = BUILDERS[kind](tmp_path / kind)
    padded = encoded(folder, replace(VARLEN, batches="padded"))
    np.testing.assert_allclose(encoded(folder, VARLEN), padded, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "last", "max", "wmean"])
def test_every_pooling_takes_rows_end_to_end(pooling, tmp_path):
    folder = build_bert(tmp_path / "bert")
    padded = encoded(folder, replace(VARLEN, batches="padded"), pooling)
    np.testing.assert_allclose(encoded(folder, VARLEN, pooling), padded, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("device", [CPU, *CUDA])
def test_compiled_shapes_give_the_vectors_of_padded_rows(device, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    given = opening(build_bert(tmp_path / "bert"), token_budget=64, device=device)
    network = opened(given)
    rows = Ragged(np.arange(5, 45, dtype=np.int32), np.array([0, 14, 25, 40], np.int32))
    loop = compiled(network, given)
    for _ in range(3):  # on CUDA the third call is the first to replay a graph
        found = loop.encode_unit(rows)
    np.testing.assert_allclose(found, Loop(network, 64).encode_unit(rows), rtol=1e-4, atol=1e-5)
    assert any(path.is_file() for path in (tmp_path / "compiled").rglob("*"))


class Slow(Loop):
    def encode_unit(self, rows):
        time.sleep(0.3)
        return super().encode_unit(rows)


def test_the_slower_loop_is_not_the_faster(tmp_path):
    given = opening(build_bert(tmp_path / "bert"))
    quick, slow = Loop(opened(given), 40), Slow(opened(given), 40)
    rows = Ragged(np.array([5, 6, 7], np.int32), np.array([0, 3], np.int32))
    assert faster(quick, slow, rows)
    assert not faster(slow, quick, rows)


def room_for(network, tokens):
    """Have the network find no memory for rows of more tokens; the lengths that it is asked for."""
    asked = []

    def look(_, given, named):
        asked.append(named["input_ids"].shape[1])
        if asked[-1] > tokens:
            raise torch.OutOfMemoryError("this would be out of memory")

    network.backend.network.register_forward_pre_hook(look, with_kwargs=True)
    return asked


@pytest.mark.parametrize("tokens", [600, 20])
def test_a_layout_is_timed_where_the_longest_row_or_none_that_is_timed_fits(tokens, tmp_path):
    folder = build_bert(tmp_path / "bert", max_length=1024)
    on_cpu = opening(folder, token_budget=1024, batches="auto", precision="bf16")
    network = opened(on_cpu)
    asked = room_for(network, tokens)
    on_gpu = replace(on_cpu, device=torch.device("cuda"))  # there alone auto measures
    loop = loop_of(network, on_gpu)
    assert max(asked) in range(512, 1024)
    rows = Ragged(np.arange(5, 20, dtype=np.int32), np.array([0, 9, 12, 15], np.int32))
    assert np.isfinite(loop.encode_unit(rows)).all()


def test_auto_measures_nothing_in_fp32_which_has_no_kernel_for_rows_of_any_lengths(tmp_path):
    on_cpu = opening(build_bert(tmp_path / "bert"), batches="auto")
    network = opened(on_cpu)
    asked = room_for(network, 64)
    assert loop_of(network, replace(on_cpu, device=torch.device("cuda"))).flat is None
    assert asked == []


def test_no_token_is_padding_end_to_end(tmp_path):
    given = opening(build_bert(tmp_path / "bert"))
    loop = loop_of(opened(given), given)
    rows = Ragged(np.arange(5, 45, dtype=np.int32), np.array([0, 9, 12, 30, 40], np.int32))
    with measured() as counts:
        loop.encode_unit(rows)
    assert counts[MODEL_TOKENS] == 40
    assert counts[PADDED_TOKENS] == counts[MODEL_TOKENS]


def test_a_row_without_tokens_goes_the_padded_way(tmp_path):
    folder = build_bert(tmp_path / "bert")
    model = Model(str(folder))
    rows = pa.table({"id": ["a", "b"], "input_ids": pa.array([[], [5, 6]], pa.list_(pa.int32()))})
    with Encode(model).open(VARLEN) as encode:
        found = encode(rows)
    assert [error is None for error in found["error"].to_pylist()] == [False, True]


@pytest.mark.parametrize("kind", WINDOWED)
def test_layers_with_windows_are_padded_unless_told_otherwise(kind, tmp_path):
    given = opening(WINDOWED[kind](tmp_path / kind))
    with pytest.raises(ModelError, match="its rows cannot lie end to end"):
        loop_of(opened(given), given)
    given = replace(given, batches="auto")
    assert loop_of(opened(given), given).flat is None


def test_a_graph_takes_padded_rows_only(tmp_path):
    given = opening(build_bert(tmp_path / "bert"), engine="openvino")
    with pytest.raises(ModelError, match="backend openvino takes padded rows only"):
        loop_of(opened(given), given)


def test_a_network_whose_vectors_change_is_refused_and_left_as_it_was(tmp_path):
    given = opening(build_bert(tmp_path / "bert"))
    network = opened(given)
    network.backend.network.embeddings.position_embeddings.padding_idx = 3  # as if it were RoBERTa
    before = network.backend.network.config._attn_implementation
    with pytest.raises(ModelError, match="it gives other vectors so"):
        loop_of(network, given)
    assert network.backend.network.config._attn_implementation == before


def test_a_layer_that_asks_for_more_than_rows_is_refused():
    many = torch.zeros(1, 2, 6, 4)
    told = {"cu_seq_lens_q": torch.tensor([0, 2, 6]), "max_length_q": 4}
    for asked in ({"softcap": 30.0}, {"sliding_window": 3}):
        with pytest.raises(ValueError, match=f"cannot be given {next(iter(asked))}"):
            varlen.attention(None, many, many, many, None, **told, **asked)


def test_the_device_is_not_asked_for_the_lengths_of_its_rows():
    many = torch.ones(1, 2, 6, 4)
    ends = torch.tensor([0, 2, 6], device="meta")  # what is there cannot be read
    told = {"cu_seq_lens_q": ends, "max_length_q": 4, "row_lengths": [2, 4], "is_causal": True}
    found, _ = varlen.attention(None, many, many, many, None, **told)
    assert found.shape == (1, 6, 2, 4)


def test_a_budget_is_what_the_config_says_or_what_the_device_has_room_for(tmp_path):
    given = opening(build_bert(tmp_path / "bert"))
    assert given.budget == 40
    assert replace(given, token_budget=0).budget == token_budget(CPU, 32)


@pytest.mark.parametrize("device", CUDA)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads", [4, 2])
def test_the_kernel_of_cuda_gives_each_row_its_own_attention(heads, causal, device):
    made = torch.Generator().manual_seed(0)
    three = [torch.randn(1, each, 40, 16, generator=made) for each in (4, heads, heads)]
    ends = torch.tensor([0, 3, 3 + 17, 40], dtype=torch.int32)
    told = {"max_length_q": 20, "row_lengths": [3, 17, 20], "is_causal": causal}
    wanted, _ = varlen.attention(None, *three, None, cu_seq_lens_q=ends, **told)
    half = [each.to(device, torch.bfloat16) for each in three]
    found, _ = varlen.attention(None, *half, None, cu_seq_lens_q=ends.to(device), **told)
    torch.testing.assert_close(found.float().cpu(), wanted, rtol=0.03, atol=0.03)


@pytest.mark.parametrize("device", CUDA)
@pytest.mark.parametrize("kind", BUILDERS)
def test_half_precision_on_cuda_takes_rows_end_to_end(kind, device, tmp_path):
    on_gpu = opening(BUILDERS[kind](tmp_path / kind), precision="bf16", device=device)
    assert loop_of(opened(on_gpu), on_gpu).flat is not None
