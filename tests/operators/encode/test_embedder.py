"""One forward pass of a folder."""

import torch

from operators.encode.embedder import build
from operators.encode.shape import decide
from operators.model import Model, resolve
from tests.tiny_models import build_bert, edit_json

CPU = torch.device("cpu")
IDS = torch.tensor([[2, 9, 8, 7, 6, 3], [2, 9, 8, 3, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])


def embedder(folder, pooling="auto", normalize=None):
    found = resolve(Model(str(folder)))
    return build(found, "m", decide(found, "m", pooling, normalize), "fp32", CPU)


@torch.inference_mode()
def test_a_prompt_is_seen_by_the_model_and_left_out_of_the_pooling(tmp_path):
    network = embedder(build_bert(tmp_path / "m"), normalize=False)
    states = network.backend.states(IDS, MASK)
    found = network(IDS, MASK, torch.tensor([2, 3]))
    torch.testing.assert_close(found[0], states[0, 2:6].mean(0))
    torch.testing.assert_close(found[1], states[1, 3:4].mean(0))
    assert not torch.allclose(found, network(IDS, MASK, None))


@torch.inference_mode()
def test_several_poolings_are_joined_end_to_end(tmp_path):
    folder = build_bert(tmp_path / "m")
    edit_json(folder / "1_Pooling" / "config.json", pooling_mode=["cls", "mean"])
    found = embedder(folder, normalize=False)(IDS, MASK, None)
    parts = [embedder(folder, pooling, False)(IDS, MASK, None) for pooling in ("cls", "mean")]
    assert torch.equal(found, torch.cat(parts, 1))


@torch.inference_mode()
def test_dense_and_normalize_follow_the_pooling(tmp_path):
    network = embedder(build_bert(tmp_path / "m", dense=8))
    found = network(IDS, MASK, None)
    assert found.shape == (2, network.dim) == (2, 8)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))
