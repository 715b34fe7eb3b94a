"""Vectors of texts at every layer of a model, for reports that ask where something is known."""

from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.arrays import to_ragged
from operators.errors import ModelError
from operators.model import Model, resolve
from operators.text.tokenizer import Tokenize

LayerPooling = Literal["mean", "wmean", "last", "cls"]
Stack = npt.NDArray[np.float32]


def layer_vectors(model: Model, texts: list[str], pooling: LayerPooling, device: str) -> Stack:
    """The (layers + 1, n, width) pooled states of n texts: 0 is what the first layer is given.

    States are taken as the network gives them: those of a decoder or a ModernBERT between its
    layers have not been through the norm that its last ones have. ModelError where the model
    cannot be loaded or there is no such device.
    """
    import torch

    from operators.encode import device as devices
    from operators.encode.budget import pack
    from operators.encode.loop import Ragged, padded
    from operators.encode.pooling import POOLINGS, places
    from operators.encode.torch_backend import load

    folder = resolve(model)
    try:
        place = devices.pick(device)
    except ValueError as error:
        raise ModelError(model.path, str(error)) from error
    network = load(folder, model.path, "fp32", place)
    names = [str(number) for number in range(len(texts))]
    with Tokenize(model).open() as tokenize:
        table = tokenize(pa.table({"id": names, "text": texts}))
    rows = Ragged(*to_ragged(table["input_ids"]))
    found: list[list[torch.Tensor]] = []
    order = list(pack(rows.lengths, devices.token_budget(place, folder.width)))
    with torch.inference_mode():
        for chosen in order:
            ids, mask = (
                torch.from_numpy(part).to(place) for part in padded(rows, chosen, network.pad)
            )
            pooled = places(mask)
            found.append([POOLINGS[pooling](s, pooled) for s in network.layers(ids, mask)])
    stack = np.stack([torch.cat(layer).cpu().numpy() for layer in zip(*found, strict=True)])
    back = np.argsort(np.concatenate(order))
    whole: Stack = stack[:, back]
    return whole
