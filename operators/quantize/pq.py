"""Product quantization: a byte for each block of dimensions."""

from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass

from operators import columns
from operators.arrays import to_column, to_matrix
from operators.base import STRICT
from operators.errors import ContractError
from operators.quantize.adc import Codes, ProductVectors
from operators.quantize.drawn import Sampled
from operators.quantize.exact import nearest
from operators.quantize.kernels import Matrix, Vectors
from operators.quantize.kmeans import WORDS, kmeans
from operators.quantize.protocol import Artefact, array_of

_A_BYTE = 8
"""Dimensions of a block by default."""


@dataclass(frozen=True, config=STRICT)
class Pq(Sampled):
    """Add `codes`: of each block of dimensions which of 256 learned words is nearest (vq-3).

    Words are k-means of the sample's blocks. A score is the sum of a table's entries, and is the
    dot product with the decoded vector.
    """

    blocks: Annotated[int, Field(ge=0)] = 0
    """Bytes of a row; 0 is one for 8 dimensions."""
    seed: int = 0

    name: ClassVar[str] = "pq"
    coarse: ClassVar[bool] = True

    @property
    def learns(self) -> bool:
        return True

    def finish(self, state: Artefact) -> dict[str, npt.NDArray[Any]]:
        sample: Matrix = state["rows"]
        cut = cut_in(sample, blocks_of(sample.shape[1], self.blocks))
        return {"words": np.stack([kmeans(block, WORDS, self.seed) for block in cut])}

    def apply(self, matrix: Matrix, artefact: Artefact) -> dict[str, pa.Array]:
        return {
            "codes": code_column(product_codes(matrix, product_words(matrix.shape[1], artefact)))
        }

    def fields(self, dim: int, artefact: str) -> list[pa.Field]:
        blocks_of(dim, self.blocks)
        return [columns.codes(dim, self.name, artefact)]

    def vectors(self, table: pa.Table, artefact: Artefact) -> Vectors:
        words = product_words(columns.dim_of(table.schema.field("codes")), artefact)
        return ProductVectors(codes_in(table, len(words)), words)

    def decode(self, table: pa.Table, artefact: Artefact) -> npt.NDArray[np.float32]:
        return self.vectors(table, artefact).take(np.arange(len(table)))


def blocks_of(dim: int, wanted: int) -> int:
    """How many equal blocks a vector is cut in; ContractError where it cannot be."""
    if not wanted:
        most = max(1, dim // _A_BYTE)
        return next(blocks for blocks in range(most, 0, -1) if dim % blocks == 0)
    if dim % wanted:
        needed, found = f"dimensions that {wanted} blocks divide", f"vectors of {dim} dimensions"
        raise ContractError("quantize", "embedding", needed, found)
    return wanted


def cut_in(matrix: Matrix, blocks: int) -> list[Matrix]:
    """The blocks of an (n, dim) matrix, each (n, dim / blocks)."""
    return [np.ascontiguousarray(block) for block in np.split(matrix, blocks, axis=1)]


def product_codes(matrix: Matrix, words: Matrix) -> Codes:
    """(n, m) codes: the nearest word of each block."""
    cut = cut_in(matrix, len(words))
    chosen = [nearest(block, own) for block, own in zip(cut, words, strict=True)]
    return np.stack(chosen, axis=1).astype(np.uint8)


def code_column(codes: Codes) -> pa.Array:
    """Bytes as `codes` holds them: Delta tables have no unsigned numbers."""
    return to_column(codes.view(np.int8))


def codes_in(table: pa.Table, width: int) -> Codes:
    """The (n, width) bytes of a table's `codes`."""
    held: npt.NDArray[np.int8] = to_matrix(table["codes"], width)
    return held.view(np.uint8)


def product_words(dim: int, artefact: Artefact) -> Matrix:
    """The (m, k, dim / m) learned words; ValueError where they are of other vectors."""
    words = array_of(artefact, "words", (None, None, None))
    if words.shape[0] * words.shape[2] != dim:
        raise ValueError(f"words of shape {words.shape} were learned, not of {dim} dimensions")
    return words
