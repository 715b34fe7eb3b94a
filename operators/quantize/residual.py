"""A centroid and what it leaves, in few bits a value: ColBERT's codec, for single vectors."""

from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass

from operators import columns
from operators.base import STRICT
from operators.errors import TableError
from operators.quantize.adc import Codes
from operators.quantize.drawn import Sampled
from operators.quantize.exact import exact_dots
from operators.quantize.kernels import Matrix, Rows, Vectors
from operators.quantize.kmeans import kmeans
from operators.quantize.pq import code_column, codes_in
from operators.quantize.protocol import Artefact, array_of

_ROUNDS = 4
_HELD_OUT = 20
"""One row in so many says how large residuals are: those of the others are too small."""
_FEW = 8
"""Rows a centroid has at least on average, and most centroids that two bytes can name."""
_MOST = 1 << 16
_NEAR_ONE = 1e-2
_AT_ONCE = 2048


@dataclass(frozen=True, config=STRICT)
class ResidualCodec(Sampled):
    """Add `codes`: the nearest centroid's number in two bytes, then `nbits` a value (colbert-xm).

    A value's bits name one of 2^nbits buckets of what the centroid leaves, cut at quantiles and
    decoded to their medians; the first value lies in the lowest bits. Vectors have length one, and
    decode to length one; one of zeros decodes to some direction. Centroids: 2^floor(log2(16
    sqrt(n))) of a sample of n rows, and no more than one for 8 rows.
    """

    nbits: Annotated[int, Field(ge=1, le=8)] = 2
    seed: int = 0

    name: ClassVar[str] = "residual-codec"
    coarse: ClassVar[bool] = True

    @property
    def learns(self) -> bool:
        return True

    def finish(self, state: Artefact) -> dict[str, npt.NDArray[Any]]:
        sample = _directions(state["rows"])
        held = np.arange(len(sample)) % _HELD_OUT == 0
        known, unknown = (sample[~held], sample[held]) if len(sample) > _HELD_OUT else (sample,) * 2
        found = kmeans(known, centroids_of(len(known)), self.seed, _ROUNDS)
        centroids = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        left = unknown - centroids[_closest(unknown, centroids)]
        levels = 1 << self.nbits
        cutoffs = np.quantile(left, np.arange(1, levels) / levels).astype(np.float32)
        weights = np.quantile(left, (np.arange(levels) + 0.5) / levels).astype(np.float32)
        return {"centroids": centroids, "cutoffs": cutoffs, "weights": weights}

    def apply(self, matrix: Matrix, artefact: Artefact) -> dict[str, pa.Array]:
        centroids, weights = _learned(matrix.shape[1], artefact)
        cutoffs = array_of(artefact, "cutoffs", (len(weights) - 1,))
        chosen = _closest(matrix, centroids)
        buckets = np.searchsorted(cutoffs, matrix - centroids[chosen], side="left")
        number = chosen.astype("<u2").view(np.uint8).reshape(len(matrix), 2)
        packed = packed_levels(buckets.astype(np.uint8), _nbits(weights))
        return {"codes": code_column(np.hstack([number, packed]))}

    def fields(self, dim: int, artefact: str) -> list[pa.Field]:
        return [columns.codes(dim, self.name, artefact)]

    def vectors(self, table: pa.Table, artefact: Artefact) -> Vectors:
        dim = columns.dim_of(table.schema.field("codes"))
        centroids, weights = _learned(dim, artefact)
        width = 2 - (-dim * _nbits(weights) // 8)
        return ResidualVectors(codes_in(table, width), centroids, weights)

    def decode(self, table: pa.Table, artefact: Artefact) -> npt.NDArray[np.float32]:
        return self.vectors(table, artefact).take(np.arange(len(table)))


@plain_dataclass(frozen=True, eq=False)
class ResidualVectors:
    """Vectors as (n, 2 + ceil(dim x nbits / 8)) bytes of a centroid's number and packed buckets."""

    codes: Codes
    centroids: Matrix
    weights: Matrix

    @property
    def dim(self) -> int:
        return int(self.centroids.shape[1])

    def __len__(self) -> int:
        return len(self.codes)

    def scores(self, queries: Matrix, start: int, stop: int) -> Matrix:
        return queries @ self.values(start, stop).T

    def take(self, rows: Rows) -> Matrix:
        found = np.empty((len(rows), self.dim), np.float32)
        for start in range(0, len(rows), _AT_ONCE):
            found[start : start + _AT_ONCE] = self._decoded(rows[start : start + _AT_ONCE])
        return found

    def asked(self, queries: Matrix) -> Matrix:
        return queries

    def values(self, start: int, stop: int) -> Matrix:
        return self.take(np.arange(start, stop))

    def _decoded(self, rows: Rows) -> Matrix:
        codes = self.codes[rows]
        number = np.ascontiguousarray(codes[:, :2]).view("<u2")[:, 0]
        left = self.weights[unpacked_levels(codes[:, 2:], _nbits(self.weights), self.dim)]
        found: Matrix = self.centroids[number] + left
        lengths = np.sqrt(np.square(found).sum(axis=1, keepdims=True))
        found /= np.maximum(lengths, np.float32(1e-12))
        return found


def packed_levels(levels: Codes, nbits: int) -> Codes:
    """(n, dim) numbers below 2^nbits as (n, ceil(dim x nbits / 8)) bytes, lowest bits first."""
    bits = (levels[:, :, None] >> np.arange(nbits, dtype=np.uint8)) & np.uint8(1)
    return np.packbits(
        bits.reshape(len(levels), levels.shape[1] * nbits), axis=1, bitorder="little"
    )


def unpacked_levels(packed: Codes, nbits: int, dim: int) -> Codes:
    """The (n, dim) numbers that `packed_levels` packed."""
    bits = np.unpackbits(packed, axis=1, count=dim * nbits, bitorder="little")
    places = np.left_shift(np.uint8(1), np.arange(nbits, dtype=np.uint8))
    found: Codes = (bits.reshape(len(packed), dim, nbits) * places).sum(axis=2, dtype=np.uint8)
    return found


def centroids_of(rows: int) -> int:
    """How many centroids are learned from a sample of so many rows: a power of two."""
    most = min(16 * rows**0.5, rows / _FEW, _MOST)
    return 1 << max(0, int(np.log2(max(most, 1))))


def _closest(rows: Matrix, centroids: Matrix) -> Rows:
    """The centroid of the largest dot product, the first of equal ones."""
    found = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        found[part] = exact_dots(rows[part], centroids).argmax(axis=1)
    return found


def _nbits(weights: Matrix) -> int:
    return len(weights).bit_length() - 1


def _directions(sample: Matrix) -> Matrix:
    """The rows that have one; TableError where none has, or one has a length that would be lost."""
    lengths = np.linalg.norm(sample, axis=1)
    sample, lengths = sample[lengths > 0], lengths[lengths > 0]
    keeps = "residual-codec keeps directions alone, and its vectors"
    if not len(sample):
        raise TableError("sample", f"{keeps} are zero throughout")
    if (np.abs(lengths - 1) > _NEAR_ONE).any():
        found = f"from {lengths.min():.3g} to {lengths.max():.3g}"
        raise TableError("sample", f"{keeps} have lengths {found}")
    return sample


def _learned(dim: int, artefact: Artefact) -> tuple[Matrix, Matrix]:
    centroids = array_of(artefact, "centroids", (None, dim))
    return centroids, array_of(artefact, "weights", (None,))
