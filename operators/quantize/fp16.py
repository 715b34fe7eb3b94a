"""Half precision: the embedding itself, rounded."""

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

_LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True, config=STRICT)
class Fp16(Unlearned):
    """Replace `embedding` by its values in half precision; beyond ±65,504 they saturate.

    The column stays float32, since Delta tables have no half floats: the two low bytes of a value
    are then mostly zero and cost little when the file is written byte-stream-split.
    """

    name: ClassVar[str] = "fp16"
    coarse: ClassVar[bool] = False

    def apply(self, matrix: Matrix, artefact: Artefact) -> dict[str, pa.Array]:
        half = np.clip(matrix, -_LARGEST, _LARGEST).astype(np.float16)
        return {"embedding": to_column(half.astype(np.float32))}

    def fields(self, dim: int, artefact: str) -> list[pa.Field]:
        field = columns.embedding(dim)
        return [field.with_metadata(columns.decoder(dim, self.name, artefact))]

    def vectors(self, table: pa.Table, artefact: Artefact) -> Vectors:
        return FloatVectors(self.decode(table, artefact))

    def decode(self, table: pa.Table, artefact: Artefact) -> npt.NDArray[np.float32]:
        return to_matrix(table["embedding"], columns.dim_of(table.schema.field("embedding")))
