"""One bit a value: on which side of a center it lies."""

from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic.dataclasses import dataclass

from operators import columns
from operators.arrays import from_binary, to_binary
from operators.base import STRICT
from operators.quantize.drawn import Sampled
from operators.quantize.kernels import BitVectors, Matrix, packed_signs
from operators.quantize.protocol import Artefact


@dataclass(frozen=True, config=STRICT)
class Binary(Sampled):
    """Add `bits`: one for each dimension, 1 where the value lies above the center.

    With `zero` a bit stands for ±1/sqrt(dim), so that decoded vectors have length one. `median`
    learns each dimension's median and the mean distance from it, and a bit stands for median ±
    distance.
    """

    center: Literal["zero", "median"] = "zero"
    name: ClassVar[str] = "binary"
    coarse: ClassVar[bool] = True

    @property
    def learns(self) -> bool:
        return self.center == "median"

    def finish(self, state: Artefact) -> dict[str, npt.NDArray[Any]]:
        if not self.learns:
            return {}
        sample: Matrix = state["rows"]
        center = np.median(sample, axis=0).astype(np.float32)
        spread = np.abs(sample - center).mean(axis=0, dtype=np.float64).astype(np.float32)
        return {"center": center, "spread": spread}

    def apply(self, matrix: Matrix, artefact: Artefact) -> dict[str, pa.Array]:
        center, _ = _levels(matrix.shape[1], artefact)
        return {"bits": to_binary(packed_signs(matrix, center))}

    def fields(self, dim: int, artefact: str) -> list[pa.Field]:
        return [columns.bits(dim, self.name, artefact)]

    def vectors(self, table: pa.Table, artefact: Artefact) -> BitVectors:
        dim = columns.dim_of(table.schema.field("bits"))
        center, spread = _levels(dim, artefact)
        return BitVectors(from_binary(table["bits"], -(-dim // 8)), center, spread)

    def decode(self, table: pa.Table, artefact: Artefact) -> npt.NDArray[np.float32]:
        return self.vectors(table, artefact).take(np.arange(len(table)))


def _levels(dim: int, artefact: Artefact) -> tuple[Matrix, Matrix]:
    """Center and spread of each dimension; without an artefact zero and that of unit vectors."""
    if not artefact:
        return np.zeros(dim, np.float32), np.full(dim, dim**-0.5, np.float32)
    center, spread = artefact["center"], artefact["spread"]
    if center.shape != (dim,):
        raise ValueError(f"bits of {dim} dimensions cannot be read with {len(center)} medians")
    return center, spread
