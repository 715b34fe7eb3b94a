"""The largest values of each token beside what is left and right of it (TECHNIQUES `rcnn-pool`)."""

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic.dataclasses import dataclass

from operators import columns, modules
from operators.base import STRICT
from operators.encode.shape import Shape
from operators.encode.strategy import Encoded, Encoding, Opening, vectors
from operators.encode.trained import Trained
from operators.errors import ModelError
from operators.model import Folder
from operators.quantize.artefact import fetched

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_WANTED = {"weight", "bias"}


@dataclass(frozen=True, config=STRICT)
class RcnnPool:
    """Element by element the largest of [left context; token; right context] over a row's tokens.

    A token's context is the mean of the states on that side of it, zeros at the ends. With an
    `artefact` it is the largest of tanh(weight [left; token; right] + bias).
    """

    engines: ClassVar[frozenset[str]] = frozenset({"torch", "openvino"})
    needs: ClassVar[tuple[pa.Field, ...]] = ()
    own_pooling: ClassVar[bool] = True

    kind: Literal["rcnn-pool"] = "rcnn-pool"
    artefact: Trained = ""
    """A safetensors file, named by its digest, of a trained `weight` (n, 3 × width) and `bias`
    (n); a vector has n values. Empty: no weight and no tanh, a vector has three times the width."""

    def fields(self, folder: Folder, model: str, shape: Shape) -> list[pa.Field]:
        return [columns.embedding(self._shape(folder, model, shape).dim)]

    def open(self, opening: Opening) -> Encoding:
        from operators.encode import embedder, probe
        from operators.encode.contexts import LargestInContext
        from operators.encode.loop import Loop, Ragged

        folder, model = opening.folder, opening.model
        shape = self._shape(folder, model, opening.shape)
        network = embedder.opened(replace(opening, shape=shape))
        weights = self._weights(folder, model, opening.device)
        network = replace(network, pools=(LargestInContext(weights),))
        probe.check_vectors(folder, network)
        loop = Loop(network, opening.budget)

        def encode(rows: Ragged, table: pa.Table) -> Encoded:
            return vectors(loop, rows)

        return encode

    def _shape(self, folder: Folder, model: str, shape: Shape) -> Shape:
        width = 3 * folder.width
        if self.artefact:
            width = len(self._trained(folder, model)["bias"])
        dim = modules.output_dim(width, shape.head, model)
        return Shape(("max",), shape.head, dim, guessed=False)

    def _trained(self, folder: Folder, model: str) -> dict[str, npt.NDArray[np.float32]]:
        found = {
            name: np.asarray(rows, np.float32) for name, rows in fetched(self.artefact).items()
        }
        shape = (found["bias"].size, 3 * folder.width) if found.keys() == _WANTED else ()
        if shape and found["weight"].shape == shape and found["bias"].ndim == 1:
            return found
        shapes = ", ".join(f"{name} {rows.shape}" for name, rows in sorted(found.items()))
        problem = f"should hold weight (n, {3 * folder.width}) and bias (n), it holds {shapes}"
        raise ModelError(model, f"{self.artefact} {problem}")

    def _weights(self, folder: Folder, model: str, device: "torch.device") -> tuple["Tensor", ...]:
        import torch

        if not self.artefact:
            return ()
        trained = self._trained(folder, model)
        return tuple(torch.from_numpy(trained[name]).to(device) for name in ("weight", "bias"))
