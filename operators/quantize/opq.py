"""Product quantization behind a learned rotation."""

from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass

from operators import columns
from operators.base import STRICT
from operators.quantize.adc import ProductVectors, TurnedVectors
from operators.quantize.drawn import Sampled
from operators.quantize.exact import turned
from operators.quantize.kernels import Matrix, Vectors
from operators.quantize.kmeans import WORDS, improved, kmeans
from operators.quantize.pq import (
    blocks_of,
    code_column,
    codes_in,
    cut_in,
    product_codes,
    product_words,
)
from operators.quantize.protocol import Artefact, array_of

_TURNS = 8
"""Rounds of words and rotation in turn."""
_ROUNDS = 2
"""Of k-means between two rotations."""
_LAST = 8
"""Of k-means under the last rotation."""


@dataclass(frozen=True, config=STRICT)
class Opq(Sampled):
    """Add `codes` as pq does, of vectors turned so that the blocks lose least (vq-3).

    The rotation starts with the principal axes, dealt out so that the blocks vary alike, and is
    then learned in turn with the words (Ge et al., 2013). It is orthogonal: scores are those of pq
    with the query turned.
    """

    blocks: Annotated[int, Field(ge=0)] = 0
    """Bytes of a row; 0 is one for 8 dimensions."""
    seed: int = 0

    name: ClassVar[str] = "opq"
    coarse: ClassVar[bool] = True

    @property
    def learns(self) -> bool:
        return True

    def finish(self, state: Artefact) -> dict[str, npt.NDArray[Any]]:
        sample: Matrix = state["rows"]
        blocks = blocks_of(sample.shape[1], self.blocks)
        rotation = _dealt_axes(sample, blocks)
        words = [kmeans(b, WORDS, self.seed, 1) for b in cut_in(turned(sample, rotation), blocks)]
        for _ in range(_TURNS):
            cut = cut_in(turned(sample, rotation), blocks)
            words = [improved(b, own, _ROUNDS) for b, own in zip(cut, words, strict=True)]
            rotation = _best_turn(sample, np.stack(words), rotation)
        cut = cut_in(turned(sample, rotation), blocks)
        words = [improved(b, own, _LAST) for b, own in zip(cut, words, strict=True)]
        return {"rotation": rotation, "words": np.stack(words)}

    def apply(self, matrix: Matrix, artefact: Artefact) -> dict[str, pa.Array]:
        rotation, words = _learned(matrix.shape[1], artefact)
        return {"codes": code_column(product_codes(turned(matrix, rotation), words))}

    def fields(self, dim: int, artefact: str) -> list[pa.Field]:
        blocks_of(dim, self.blocks)
        return [columns.codes(dim, self.name, artefact)]

    def vectors(self, table: pa.Table, artefact: Artefact) -> Vectors:
        rotation, words = _learned(columns.dim_of(table.schema.field("codes")), artefact)
        return TurnedVectors(ProductVectors(codes_in(table, len(words)), words), rotation)

    def decode(self, table: pa.Table, artefact: Artefact) -> npt.NDArray[np.float32]:
        return self.vectors(table, artefact).take(np.arange(len(table)))


def _dealt_axes(sample: Matrix, blocks: int) -> Matrix:
    """The principal axes as rows, each block with a like product of variances."""
    wide = sample.astype(np.float64)
    variance, axes = np.linalg.eigh(wide.T @ wide / len(wide))
    variance = np.log(np.maximum(variance, max(float(variance[-1]), 1e-30) * 1e-12))
    variance -= variance[0]
    size = len(variance) // blocks
    dealt: list[list[int]] = [[] for _ in range(blocks)]
    filled = np.zeros(blocks)
    for axis in range(len(variance) - 1, -1, -1):
        block = int(filled.argmin())
        dealt[block].append(axis)
        filled[block] += variance[axis] if len(dealt[block]) < size else np.inf
    chosen = axes[:, [axis for block in dealt for axis in block]]
    return np.ascontiguousarray(chosen.T).astype(np.float32)


def _best_turn(sample: Matrix, words: Matrix, rotation: Matrix) -> Matrix:
    """The rotation that brings the sample nearest to its decoded form (Procrustes)."""
    codes = product_codes(turned(sample, rotation), words)
    meant = ProductVectors(codes, words).take(np.arange(len(sample)))
    left, _, right = np.linalg.svd(sample.astype(np.float64).T @ meant)
    return np.ascontiguousarray((left @ right).T).astype(np.float32)


def _learned(dim: int, artefact: Artefact) -> tuple[Matrix, Matrix]:
    return array_of(artefact, "rotation", (dim, dim)), product_words(dim, artefact)
