"""One bit a value of a turned vector, with an unbiased score and a bound of its error."""

from dataclasses import dataclass as plain_dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic.dataclasses import dataclass

from operators import columns
from operators.arrays import from_binary, to_binary
from operators.base import STRICT
from operators.quantize.adc import TurnedVectors
from operators.quantize.exact import turned
from operators.quantize.kernels import Matrix, Rows, packed_signs
from operators.quantize.protocol import Artefact, array_of

SPREAD = 1.9
"""Standard deviations that the bound allows, as the paper has them."""
_FINE = 2.0**20
"""Sums of values on a grid this fine are whole numbers: the mean is that of any cut.

Those of two billion rows stay below 2**63, however far they lie.
"""
_FAR = 2.0**12
"""Values beyond count as this: any center gives an unbiased score, the mean the best one."""


@dataclass(frozen=True, config=STRICT)
class Rabitq:
    """Add `bits` of the randomly turned vector about the mean, `bits_scale` and `bits_error`.

    A row decodes to mean + bits_scale x signs, turned back; its score is then an unbiased estimate
    over the rotations (RaBitQ, Gao and Long 2024, arXiv 2405.12497). For a query of length one it
    is off by no more than 1.9 x bits_error but for about one time in twenty.
    """

    seed: int = 0
    """Draws the rotation."""

    name: ClassVar[str] = "rabitq"
    coarse: ClassVar[bool] = True

    @property
    def learns(self) -> bool:
        return True

    def fit(self, sample: Matrix) -> dict[str, npt.NDArray[Any]]:
        return self.finish(self.partial(sample))

    def partial(self, sample: Matrix) -> dict[str, npt.NDArray[Any]]:
        near = np.clip(sample.astype(np.float64), -_FAR, _FAR)
        whole = np.rint(near * _FINE).astype(np.int64)
        return {"total": whole.sum(axis=0), "rows": np.array([len(sample)], np.int64)}

    def merge(self, one: Artefact, other: Artefact) -> dict[str, npt.NDArray[Any]]:
        return {name: one[name] + other[name] for name in ("total", "rows")}

    def finish(self, state: Artefact) -> dict[str, npt.NDArray[Any]]:
        mean = state["total"] / _FINE / state["rows"]
        return {"center": mean.astype(np.float32), "rotation": _rotation(len(mean), self.seed)}

    def apply(self, matrix: Matrix, artefact: Artefact) -> dict[str, pa.Array]:
        center, rotation = _learned(matrix.shape[1], artefact)
        apart = turned(matrix - center, rotation)
        scale, error = _factors(apart.astype(np.float64))
        bits = to_binary(packed_signs(apart, np.zeros_like(center)))
        return {"bits": bits, "bits_scale": pa.array(scale), "bits_error": pa.array(error)}

    def fields(self, dim: int, artefact: str) -> list[pa.Field]:
        bits = columns.bits(dim, self.name, artefact)
        return [bits, columns.BITS_SCALE, columns.BITS_ERROR]

    def vectors(self, table: pa.Table, artefact: Artefact) -> TurnedVectors:
        dim = columns.dim_of(table.schema.field("bits"))
        center, rotation = _learned(dim, artefact)
        scale, error = (table[name].to_numpy() for name in ("bits_scale", "bits_error"))
        packed = from_binary(table["bits"], -(-dim // 8))
        return TurnedVectors(
            RabitqVectors(packed, turned(center[None], rotation)[0], scale, error), rotation
        )

    def decode(self, table: pa.Table, artefact: Artefact) -> npt.NDArray[np.float32]:
        return self.vectors(table, artefact).take(np.arange(len(table)))


@plain_dataclass(frozen=True, eq=False)
class RabitqVectors:
    """Turned vectors as (n, ceil(dim / 8)) packed bytes: value = center ± the row's scale."""

    packed: npt.NDArray[np.uint8]
    center: Matrix
    scale: Matrix
    error: Matrix

    @property
    def dim(self) -> int:
        return len(self.center)

    def __len__(self) -> int:
        return len(self.packed)

    def scores(self, queries: Matrix, start: int, stop: int) -> Matrix:
        found: Matrix = queries @ self._signs(self.packed[start:stop]).T
        found *= self.scale[start:stop]
        found += (queries @ self.center)[:, None]
        return found

    def bounds(self, queries: Matrix, start: int, stop: int, spread: float = SPREAD) -> Matrix:
        """How far the scores (q, stop - start) may lie from those of the vectors themselves."""
        lengths = np.linalg.norm(queries, axis=1)
        found: Matrix = (np.float32(spread) * lengths)[:, None] * self.error[start:stop]
        return found

    def take(self, rows: Rows) -> Matrix:
        return self._signs(self.packed[rows]) * self.scale[rows, None] + self.center

    def asked(self, queries: Matrix) -> Matrix:
        return queries

    def values(self, start: int, stop: int) -> Matrix:
        return self._signs(self.packed[start:stop]) * self.scale[start:stop, None] + self.center

    def _signs(self, packed: npt.NDArray[np.uint8]) -> Matrix:
        bits = np.unpackbits(packed, axis=1, count=self.dim).astype(np.float32)
        bits *= 2
        bits -= 1
        return bits


def _factors(apart: npt.NDArray[np.float64]) -> tuple[Matrix, Matrix]:
    """Each row's scale |z|² / |z|₁, and the deviation of its score for a query of length one.

    With t = |z|₁ / (sqrt(dim) |z|), the cosine between the row and its signs, the paper's bound is
    |z| sqrt(1 - t²) / (t sqrt(dim - 1)).
    """
    square, total = np.square(apart).sum(axis=1), np.abs(apart).sum(axis=1)
    dim, some = apart.shape[1], total > 0
    divisor = np.where(some, total, 1)
    cosine = np.where(some, divisor / np.sqrt(np.where(some, square, 1) * dim), 1)
    missed = np.sqrt(np.maximum(1 - cosine**2, 0)) / cosine / np.sqrt(max(dim - 1, 1))
    scale = square / divisor
    return scale.astype(np.float32), (np.sqrt(square) * missed).astype(np.float32)


def _rotation(dim: int, seed: int) -> Matrix:
    """An orthogonal matrix drawn evenly: QR of normal values, signs settled."""
    drawn = np.random.default_rng(seed).standard_normal((dim, dim))
    turn, upper = np.linalg.qr(drawn)
    return np.ascontiguousarray(turn * np.sign(np.diag(upper))).astype(np.float32)


def _learned(dim: int, artefact: Artefact) -> tuple[Matrix, Matrix]:
    return array_of(artefact, "center", (dim,)), array_of(artefact, "rotation", (dim, dim))
