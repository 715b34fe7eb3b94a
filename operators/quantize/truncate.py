"""The first dimensions as they are: Matryoshka truncation without a code."""

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic.dataclasses import dataclass

from operators import columns
from operators.arrays import to_column, to_matrix
from operators.base import STRICT
from operators.quantize.kernels import FloatVectors, Matrix, Vectors
from operators.quantize.protocol import Artefact, Unlearned


@dataclass(frozen=True, config=STRICT)
class Truncate(Unlearned):
    """Replace `embedding` by its first `dims` values as floats (2dmse); `quantize` cuts them."""

    name: ClassVar[str] = "truncate"
    coarse: ClassVar[bool] = False

    def apply(self, matrix: Matrix, artefact: Artefact) -> dict[str, pa.Array]:
        return {"embedding": to_column(matrix)}

    def fields(self, dim: int, artefact: str) -> list[pa.Field]:
        field = columns.embedding(dim)
        return [field.with_metadata(columns.decoder(dim, self.name, artefact))]

    def vectors(self, table: pa.Table, artefact: Artefact) -> Vectors:
        return FloatVectors(self.decode(table, artefact))

    def decode(self, table: pa.Table, artefact: Artefact) -> npt.NDArray[np.float32]:
        return to_matrix(table["embedding"], columns.dim_of(table.schema.field("embedding")))
