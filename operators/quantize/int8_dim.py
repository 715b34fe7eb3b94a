"""One byte a value, with a scale and an offset for each dimension."""

from dataclasses import dataclass as plain_dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic.dataclasses import dataclass

from operators import columns
from operators.arrays import to_column, to_matrix
from operators.base import STRICT
from operators.quantize.kernels import Matrix, Rows, Vectors
from operators.quantize.protocol import Artefact, array_of

_LEVELS = np.float32(127)
_SMALLEST = np.finfo(np.float32).tiny


@dataclass(frozen=True, config=STRICT)
class Int8Dim:
    """Add `codes` in -127..127: value = offset + scale x code, both of its dimension.

    Offset and scale are learned from the least and the greatest value of each dimension; what lies
    beyond them is clipped. The error of a value within them is at most scale / 2.
    """

    name: ClassVar[str] = "int8-dim"
    coarse: ClassVar[bool] = False

    @property
    def learns(self) -> bool:
        return True

    def fit(self, sample: Matrix) -> dict[str, npt.NDArray[Any]]:
        return self.finish(self.partial(sample))

    def partial(self, sample: Matrix) -> dict[str, npt.NDArray[Any]]:
        return {"low": sample.min(axis=0), "high": sample.max(axis=0)}

    def merge(self, one: Artefact, other: Artefact) -> dict[str, npt.NDArray[Any]]:
        low, high = np.minimum(one["low"], other["low"]), np.maximum(one["high"], other["high"])
        return {"low": low, "high": high}

    def finish(self, state: Artefact) -> dict[str, npt.NDArray[Any]]:
        low, high = state["low"].astype(np.float64), state["high"].astype(np.float64)
        offset, scale = (low + high) / 2, (high - low) / 2 / float(_LEVELS)
        scale[scale < _SMALLEST] = 0
        return {"offset": offset.astype(np.float32), "scale": scale.astype(np.float32)}

    def apply(self, matrix: Matrix, artefact: Artefact) -> dict[str, pa.Array]:
        offset, scale = _affine(matrix.shape[1], artefact)
        step = np.where(scale == 0, np.float32(np.inf), scale)
        codes = np.clip(np.rint((matrix - offset) / step), -_LEVELS, _LEVELS).astype(np.int8)
        return {"codes": to_column(codes)}

    def fields(self, dim: int, artefact: str) -> list[pa.Field]:
        return [columns.codes(dim, self.name, artefact)]

    def vectors(self, table: pa.Table, artefact: Artefact) -> Vectors:
        dim = columns.dim_of(table.schema.field("codes"))
        return AffineVectors(to_matrix(table["codes"], dim), *_affine(dim, artefact))

    def decode(self, table: pa.Table, artefact: Artefact) -> npt.NDArray[np.float32]:
        return self.vectors(table, artefact).take(np.arange(len(table)))


@plain_dataclass(frozen=True, eq=False)
class AffineVectors:
    """Vectors as (n, dim) int8 codes, and each dimension's offset and scale.

    The scale is taken to the query, once, so that a score reads one byte a value.
    """

    codes: npt.NDArray[np.int8]
    offset: Matrix
    scale: Matrix

    @property
    def dim(self) -> int:
        return int(self.codes.shape[1])

    def __len__(self) -> int:
        return len(self.codes)

    def scores(self, queries: Matrix, start: int, stop: int) -> Matrix:
        scaled: Matrix = queries * self.scale
        found: Matrix = scaled @ self.codes[start:stop].astype(np.float32).T
        found += (queries @ self.offset)[:, None]
        return found

    def take(self, rows: Rows) -> Matrix:
        return self._decoded(self.codes[rows])

    def asked(self, queries: Matrix) -> Matrix:
        return queries

    def values(self, start: int, stop: int) -> Matrix:
        return self._decoded(self.codes[start:stop])

    def _decoded(self, codes: npt.NDArray[np.int8]) -> Matrix:
        found: Matrix = codes.astype(np.float32)
        found *= self.scale
        found += self.offset
        return found


def _affine(dim: int, artefact: Artefact) -> tuple[Matrix, Matrix]:
    return array_of(artefact, "offset", (dim,)), array_of(artefact, "scale", (dim,))
