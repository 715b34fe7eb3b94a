"""The first layers of a model and the first values of its vectors (TECHNIQUES `2dmse`)."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import pyarrow as pa
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from operators import columns, modules
from operators.base import STRICT
from operators.encode import depth
from operators.encode.shape import Shape
from operators.encode.strategy import Encoded, Encoding, Opening, embedded
from operators.errors import ModelError
from operators.model import Folder

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, config=STRICT)
class Matryoshka:
    """Pool the states after `layers` layers, and keep the first `dims` values of the vector.

    The other layers are never moved to the device. Where the family has a norm behind its last
    layer, it is applied behind the last that is kept; the column's metadata says so.
    """

    engines: ClassVar[frozenset[str]] = frozenset({"torch"})
    needs: ClassVar[tuple[pa.Field, ...]] = ()

    kind: Literal["2dmse"] = "2dmse"
    layers: Annotated[int, Field(ge=0)] = 0
    """0 is all of them."""
    dims: Annotated[int, Field(ge=0)] = 0
    """0 is all of them. Unit vectors are scaled to length one again."""

    @model_validator(mode="after")
    def _something_is_cut(self) -> "Matryoshka":
        if not self.layers and not self.dims:
            raise ValueError("strategy 2dmse keeps all layers and dims; name layers, dims or both")
        return self

    def fields(self, folder: Folder, model: str, shape: Shape) -> list[pa.Field]:
        has = depth.depth(folder, model, self.kind)
        if self.layers > has:
            raise ModelError(model, f"it has {has} layers, fewer than the {self.layers} to keep")
        if self.dims > shape.dim:
            problem = f"its vectors have {shape.dim} values, fewer than the {self.dims} to keep"
            raise ModelError(model, problem)
        return [self._column(folder, has, shape)]

    def open(self, opening: Opening) -> Encoding:
        from operators.encode import probe, torch_backend
        from operators.encode.embedder import of_backend
        from operators.encode.head import unit_length
        from operators.encode.loop import Loop, Ragged

        folder, model, shape = opening.folder, opening.model, opening.shape
        has = depth.depth(folder, model, self.kind)
        network = torch_backend.network(folder, model, opening.precision)
        depth.cut(network, has, self.layers or has)
        cut = of_backend(torch_backend.backend(network, folder, opening.device), model, shape)
        first = partial(_first, count=self.dims or shape.dim)
        again = [unit_length] if _ends_in_unit_length(shape) else []
        cut = replace(cut, dim=self.dims or shape.dim, layers=(*cut.layers, first, *again))
        # Which way attention looks is not asked: the layers that are left may all be local.
        probe.check_vectors(folder, cut)
        loop, field = Loop(cut, opening.budget), self._column(folder, has, shape)

        def encode(rows: Ragged, table: pa.Table) -> Encoded:
            found = embedded(loop.encode_unit(rows))
            return Encoded([(field, found.columns[0][1])], found.bad)

        return encode

    def _column(self, folder: Folder, has: int, shape: Shape) -> pa.Field:
        dim = self.dims or shape.dim
        told: dict[bytes | str, bytes | str] = {
            "corpusmill.dim": str(dim),
            "corpusmill.layers": f"{self.layers or has} of {has}",
            "corpusmill.final_norm": depth.final_norm(folder),
            "corpusmill.first_of": str(shape.dim),
        }
        return columns.embedding(dim).with_metadata(told)


def _first(vectors: "Tensor", count: int) -> "Tensor":
    return vectors[:, :count]


def _ends_in_unit_length(shape: Shape) -> bool:
    return bool(shape.head) and isinstance(shape.head[-1], modules.Normalize)
