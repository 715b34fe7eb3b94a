"""Eight bits a value as a small float, with a power of two for each vector."""

from dataclasses import dataclass as plain_dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic.dataclasses import dataclass

from operators import columns
from operators.arrays import to_column, to_matrix
from operators.base import STRICT
from operators.quantize.kernels import Matrix, Rows, Vectors
from operators.quantize.protocol import Artefact, Unlearned

_LARGEST = np.float32(448)
_LEAST_NORMAL = np.float32(2.0**-6)
_STEP = np.float32(2.0**-9)
"""Between two numbers below the least normal one."""
_SMALLEST = np.finfo(np.float32).tiny * _LARGEST


@dataclass(frozen=True, config=STRICT)
class Fp8(Unlearned):
    """Add `codes`, E4M3 floats (four bits of exponent, three of mantissa), and `scale`.

    value = float x scale; the scale is the least power of two under which no value of the vector
    is beyond 448, the largest E4M3 number. The error of a value is at most 1/16 of it, or scale /
    1024 where that is more. A zero vector, and one whose values all lie below 5.3e-36, gets scale
    0. Nothing is clipped and nothing is learned.
    """

    name: ClassVar[str] = "fp8"
    coarse: ClassVar[bool] = False

    def apply(self, matrix: Matrix, artefact: Artefact) -> dict[str, pa.Array]:
        greatest = np.abs(matrix).max(axis=1, initial=0).astype(np.float32)
        mantissa, exponent = np.frexp(greatest / _LARGEST)
        scale = np.ldexp(np.float32(1), exponent - (mantissa == 0.5)).astype(np.float32)
        scale[greatest < _SMALLEST] = 0
        divisor: Matrix = np.where(scale == 0, np.float32(np.inf), scale)
        codes = _rounded(matrix / divisor[:, None])
        return {"codes": to_column(codes.view(np.int8)), "scale": pa.array(scale)}

    def fields(self, dim: int, artefact: str) -> list[pa.Field]:
        return [columns.codes(dim, self.name, artefact), columns.SCALE]

    def vectors(self, table: pa.Table, artefact: Artefact) -> Vectors:
        codes = to_matrix(table["codes"], columns.dim_of(table.schema.field("codes")))
        return Fp8Vectors(codes.view(np.uint8), table["scale"].to_numpy())

    def decode(self, table: pa.Table, artefact: Artefact) -> npt.NDArray[np.float32]:
        return self.vectors(table, artefact).take(np.arange(len(table)))


@plain_dataclass(frozen=True, eq=False)
class Fp8Vectors:
    """Vectors as (n, dim) E4M3 codes and a float32 scale for each row."""

    codes: npt.NDArray[np.uint8]
    scales: Matrix

    @property
    def dim(self) -> int:
        return int(self.codes.shape[1])

    def __len__(self) -> int:
        return len(self.codes)

    def scores(self, queries: Matrix, start: int, stop: int) -> Matrix:
        found: Matrix = queries @ _MEANT[self.codes[start:stop]].T
        found *= self.scales[start:stop]
        return found

    def take(self, rows: Rows) -> Matrix:
        return _decoded(self.codes[rows], self.scales[rows])

    def asked(self, queries: Matrix) -> Matrix:
        return queries

    def values(self, start: int, stop: int) -> Matrix:
        return _decoded(self.codes[start:stop], self.scales[start:stop])


def _decoded(codes: npt.NDArray[np.uint8], scales: Matrix) -> Matrix:
    found: Matrix = _MEANT[codes]
    found *= scales[:, None]
    return found


def _rounded(matrix: Matrix) -> npt.NDArray[np.uint8]:
    """The codes of the nearest E4M3 numbers, ties to even; no value may be beyond 448."""
    size = np.ascontiguousarray(np.abs(matrix), np.float32)
    bits = size.view(np.uint32)
    normal = ((bits + 0x7FFFF + ((bits >> 20) & 1)) >> 20) - ((127 - 7) << 3)
    small = np.rint(size / _STEP).astype(np.uint32)
    codes = np.where(size < _LEAST_NORMAL, small, normal).astype(np.uint8)
    codes |= np.signbit(matrix).astype(np.uint8) << 7
    return codes


def _meant() -> Matrix:
    """The number of every code."""
    code = np.arange(128)
    exponent, mantissa = code >> 3, code & 7
    size = np.where(exponent == 0, mantissa, np.ldexp(8.0 + mantissa, exponent - 1)) * float(_STEP)
    size[127] = np.nan
    return np.concatenate([size, -size]).astype(np.float32)


_MEANT = _meant()
