"""Layers after the pooling."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from operators.encode.head import layers
from operators.errors import ModelError
from operators.modules import Dense, Normalize

CPU = torch.device("cpu")
RANDOM = np.random.default_rng(0)


@pytest.fixture
def weights(tmp_path):
    tensors = {
        "linear.weight": RANDOM.normal(size=(2, 3)).astype(np.float32),
        "linear.bias": RANDOM.normal(size=2).astype(np.float32),
        "residual.weight": RANDOM.normal(size=(2, 3)).astype(np.float32),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def apply(head, vectors):
    found = torch.from_numpy(vectors)
    for layer in layers(head, CPU, "m"):
        found = layer(found)
    return found.numpy()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize(
    ("name", "function"),
    [("Tanh", np.tanh), ("Identity", lambda x: x), ("ReLU", lambda x: x * (x > 0))],
)
def test_a_dense_layer_is_its_definition(weights, name, function, bias, residual):
    vectors = RANDOM.normal(size=(5, 3)).astype(np.float32)
    tensors = load_file(weights)
    wanted = function(vectors @ tensors["linear.weight"].T + bias * tensors["linear.bias"])
    if residual:
        wanted = wanted + vectors @ tensors["residual.weight"].T
    found = apply((Dense(weights, 3, 2, bias, name, residual),), vectors)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_square_residual_adds_the_input(tmp_path):
    save_file({"linear.weight": np.zeros((3, 3), np.float32)}, tmp_path / "m.safetensors")
    vectors = RANDOM.normal(size=(2, 3)).astype(np.float32)
    found = apply((Dense(tmp_path / "m.safetensors", 3, 3, False, "Identity", True),), vectors)
    np.testing.assert_array_equal(found, vectors)


def test_normalize_gives_length_one_and_leaves_zeros():
    found = apply((Normalize(),), np.array([[3, 4], [0, 0]], np.float32))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0]], rtol=1e-6)


def test_layers_keep_their_order(weights):
    vectors = 9 * RANDOM.normal(size=(4, 3)).astype(np.float32)
    dense = Dense(weights, 3, 2, True, "Tanh")
    assert not np.allclose(
        apply((dense, Normalize()), vectors), apply((Normalize(), dense), vectors)
    )


def test_an_unknown_activation_is_named(weights):
    with pytest.raises(ModelError, match="activation 'Mish' is not one of GELU, Identity"):
        layers((Dense(weights, 3, 2, True, "Mish"),), CPU, "m")


def test_missing_tensors_are_named(tmp_path):
    save_file({"linear.weight": np.zeros((3, 3), np.float32)}, tmp_path / "m.safetensors")
    with pytest.raises(ModelError, match=r"lacks linear.bias"):
        layers((Dense(tmp_path / "m.safetensors", 3, 3, True, "Tanh"),), CPU, "m")
