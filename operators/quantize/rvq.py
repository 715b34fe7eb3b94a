"""Residual quantization: each byte codes what the bytes before it left."""

from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass

from operators import columns
from operators.base import STRICT
from operators.quantize.adc import AdditiveVectors, Codes
from operators.quantize.drawn import Sampled
from operators.quantize.exact import nearest
from operators.quantize.kernels import Matrix, Vectors
from operators.quantize.kmeans import WORDS, kmeans
from operators.quantize.pq import code_column, codes_in
from operators.quantize.protocol import Artefact, array_of

_ROUNDS = 8
_TOWARDS_ZERO = 4
"""Rows of nothing that each word is the mean of as well: one of few rows fits those alone."""


@dataclass(frozen=True, config=STRICT)
class Rvq(Sampled):
    """Add `codes`: by stages, which of 256 learned words is nearest to what is left (vq-2).

    Word 0 of every stage is zero, so that a stage never moves away from the vector. The first
    bytes are the code of fewer stages.
    """

    stages: Annotated[int, Field(ge=1)] = 8
    """Bytes of a row."""
    seed: int = 0

    name: ClassVar[str] = "rvq"
    coarse: ClassVar[bool] = True

    @property
    def learns(self) -> bool:
        return True

    def finish(self, state: Artefact) -> dict[str, npt.NDArray[Any]]:
        sample: Matrix = state["rows"]
        left, zero, learned = sample, np.zeros((1, sample.shape[1]), np.float32), []
        for stage in range(self.stages):
            words = kmeans(left, WORDS - 1, self.seed + stage, _ROUNDS)
            words = np.vstack([zero, _drawn_in(left, words)])
            left = left - words[nearest(left, words)]
            learned.append(words)
        return {"words": np.stack(learned)}

    def apply(self, matrix: Matrix, artefact: Artefact) -> dict[str, pa.Array]:
        return {"codes": code_column(_codes(matrix, _words(matrix.shape[1], artefact)))}

    def fields(self, dim: int, artefact: str) -> list[pa.Field]:
        return [columns.codes(dim, self.name, artefact)]

    def vectors(self, table: pa.Table, artefact: Artefact) -> Vectors:
        words = _words(columns.dim_of(table.schema.field("codes")), artefact)
        return AdditiveVectors(codes_in(table, len(words)), words)

    def decode(self, table: pa.Table, artefact: Artefact) -> npt.NDArray[np.float32]:
        return self.vectors(table, artefact).take(np.arange(len(table)))


def _drawn_in(left: Matrix, words: Matrix) -> Matrix:
    """The words, the nearer to zero the fewer rows have them."""
    count = np.bincount(nearest(left, words), minlength=len(words))
    drawn: Matrix = words * (count / (count + _TOWARDS_ZERO)).astype(np.float32)[:, None]
    return drawn


def _codes(matrix: Matrix, words: Matrix) -> Codes:
    codes = np.empty((len(matrix), len(words)), np.uint8)
    left = matrix
    for stage, own in enumerate(words):
        chosen = nearest(left, own)
        codes[:, stage], left = chosen, left - own[chosen]
    return codes


def _words(dim: int, artefact: Artefact) -> Matrix:
    return array_of(artefact, "words", (None, None, dim))
