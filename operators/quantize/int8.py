"""Eight bits a value, with a scale of its own for each vector."""

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic.dataclasses import dataclass

from operators import columns
from operators.arrays import to_column, to_matrix
from operators.base import STRICT
from operators.quantize.kernels import Int8Vectors, Matrix, Vectors
from operators.quantize.protocol import Artefact, Unlearned

_LEVELS = np.float32(127)
_SMALLEST = np.finfo(np.float32).tiny


@dataclass(frozen=True, config=STRICT)
class Int8(Unlearned):
    """Add `codes` in -127..127 and `scale` = greatest absolute value / 127: value = code x scale.

    The error of a value is at most scale / 2. A zero vector, and one whose values all lie below
    1.5e-36, gets scale 0. Nothing is clipped and nothing is learned.
    """

    name: ClassVar[str] = "int8"
    coarse: ClassVar[bool] = False

    def apply(self, matrix: Matrix, artefact: Artefact) -> dict[str, pa.Array]:
        scale = np.abs(matrix).max(axis=1, initial=0) / _LEVELS
        scale[scale < _SMALLEST] = 0
        divisor = np.where(scale == 0, np.float32(np.inf), scale)
        codes = np.rint(matrix / divisor[:, None]).astype(np.int8)
        return {"codes": to_column(codes), "scale": pa.array(scale)}

    def fields(self, dim: int, artefact: str) -> list[pa.Field]:
        return [columns.codes(dim, self.name, artefact), columns.SCALE]

    def vectors(self, table: pa.Table, artefact: Artefact) -> Vectors:
        codes = to_matrix(table["codes"], columns.dim_of(table.schema.field("codes")))
        return Int8Vectors(codes, table["scale"].to_numpy())

    def decode(self, table: pa.Table, artefact: Artefact) -> npt.NDArray[np.float32]:
        return self.vectors(table, artefact).take(np.arange(len(table)))
