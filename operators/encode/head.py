"""What a vector goes through after pooling: dense layers and the scaling to length one."""

from collections.abc import Callable

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from operators import modules
from operators.errors import ModelError

Layer = Callable[[Tensor], Tensor]

_ACTIVATIONS: dict[str, Layer] = {
    "GELU": nn.functional.gelu,
    "Identity": torch.nn.Identity(),
    "ReLU": torch.relu,
    "SiLU": nn.functional.silu,
    "Sigmoid": torch.sigmoid,
    "Tanh": torch.tanh,
}


def unit_length(vectors: Tensor) -> Tensor:
    """Scale each row to length one; a row of zeros stays zero."""
    return nn.functional.normalize(vectors, dim=1)


def layers(
    head: tuple[modules.Dense | modules.Normalize, ...], device: torch.device, model: str
) -> list[Layer]:
    """The folder's layers in their order, in float32 on `device`."""
    return [
        _dense(module, device, model) if isinstance(module, modules.Dense) else unit_length
        for module in head
    ]


def _dense(module: modules.Dense, device: torch.device, model: str) -> Layer:
    activation = _ACTIVATIONS.get(module.activation)
    if activation is None:
        known = ", ".join(sorted(_ACTIVATIONS))
        raise ModelError(model, f"activation {module.activation!r} is not one of {known}")
    weights = {name: tensor.float() for name, tensor in load_file(module.weights).items()}
    own = {"linear.weight", *(["linear.bias"] if module.bias else [])}
    if not own <= weights.keys():
        raise ModelError(model, f"a Dense module lacks {', '.join(sorted(own - weights.keys()))}")
    weight = weights["linear.weight"].to(device)
    bias = weights["linear.bias"].to(device) if module.bias else None
    bypass = weights.get("residual.weight", torch.eye(module.inputs)).to(device)

    def plain(vectors: Tensor) -> Tensor:
        return activation(nn.functional.linear(vectors, weight, bias))

    def residual(vectors: Tensor) -> Tensor:
        return plain(vectors) + nn.functional.linear(vectors, bypass)

    return residual if module.residual else plain
