"""A text as the mean of its tokens' input vectors: no network is run (`static-l0`).

Layer 0 of a model pooled is the baseline of "BERT or FastText?", and the element-wise maximum is
the pooling of the RCNN of "Word and Document Embeddings" (papers 113 and 123 of
docs/techniques.md). That `sif` takes a piece's place in the vocabulary for its rank is ours: a
folder has no counts.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from operators import columns, modules
from operators.base import STRICT
from operators.encode import layer0
from operators.encode.shape import Shape
from operators.encode.strategy import Encoded, Encoding, Opening, embedded
from operators.errors import ModelError
from operators.model import Folder
from operators.text import tokenizer

if TYPE_CHECKING:
    from operators.encode.loop import Ragged

Matrix = npt.NDArray[np.float32]
_TOKENS_A_PART = 1 << 15
"""Their vectors are held at once: 100 MB of 768 values."""


@dataclass(frozen=True, config=STRICT)
class StaticL0:
    """Pool the model's input vectors, read from its weights; the tokens around every text are out.

    A text of no other token is a bad row. Dense layers of the folder are not applied.
    """

    engines: ClassVar[frozenset[str]] = frozenset({"torch"})
    needs: ClassVar[tuple[pa.Field, ...]] = ()

    kind: Literal["static-l0"] = "static-l0"
    states: Literal["words", "first"] = "words"
    """words: of each token alone; first: with its place and the norm, as layer 0 of a BERT is."""
    pool: Literal["mean", "max"] = "mean"
    sif: Annotated[float, Field(ge=0)] = 0.0
    """Weigh a token a / (a + p), p its share of a text by Zipf's law; 0 weighs all alike."""

    @model_validator(mode="after")
    def _weights_need_a_mean(self) -> "StaticL0":
        if self.sif and self.pool == "max":
            raise ValueError("sif weighs a mean; pool max has no weights")
        return self

    def fields(self, folder: Folder, model: str, shape: Shape) -> list[pa.Field]:
        return [columns.embedding(layer0.find(folder, model, self.states).dim)]

    def open(self, opening: Opening) -> Encoding:
        from operators.encode import vocabulary

        source = layer0.find(opening.folder, opening.model, self.states).loaded()
        encoder = tokenizer.complete(opening.folder, opening.model)
        around = np.array(encoder.encode("").ids, np.int64)
        weights = _weights(self.sif, source.words)
        weights[around] = 0
        ends = any(isinstance(each, modules.Normalize) for each in opening.shape.head)
        if not weights.any():
            raise ModelError(opening.model, "its vocabulary holds nothing but special tokens")

        def encode(rows: "Ragged", table: pa.Table) -> Encoded:
            vocabulary.check(rows.ids, source.words, opening.model)
            pooled = _maximum if self.pool == "max" else _mean
            found = _vectors(rows, weights, source, pooled)
            if ends:
                lengths = np.linalg.norm(found, axis=1, keepdims=True)
                found /= np.where(lengths > 0, lengths, np.float32(1))
            return embedded(found)

        return encode


Pool = Callable[[Matrix, Matrix, npt.NDArray[np.int64]], Matrix]


def _vectors(rows: "Ragged", weights: Matrix, source: layer0.Layer0, pool: Pool) -> Matrix:
    """The (n, dim) vectors of n rows, some thousand tokens at a time; NaN for a row of none."""
    found = np.full((len(rows.lengths), source.dim), np.nan, np.float32)
    place = np.arange(len(rows.ids)) - np.repeat(rows.offsets[:-1], rows.lengths)
    kept = weights[rows.ids]
    if rows.prompts is not None:
        kept = np.where(place < np.repeat(rows.prompts, rows.lengths), 0, kept)
    row = np.repeat(np.arange(len(rows.lengths)), rows.lengths)
    taken = np.flatnonzero(kept)
    for start, stop in pairwise(_cuts(row[taken])):
        part = taken[start:stop]
        states = source.states(rows.ids[part], place[part])
        starts = np.flatnonzero(np.diff(row[part], prepend=-1))
        found[row[part][starts]] = pool(states, kept[part][:, None], starts)
    return found


def _cuts(row: npt.NDArray[np.int64]) -> list[int]:
    """Where parts of some thousand tokens start; none begins within a row."""
    cuts = [0]
    while cuts[-1] < len(row):
        last = row[min(cuts[-1] + _TOKENS_A_PART, len(row)) - 1]
        cuts.append(int(np.searchsorted(row, last, "right")))
    return cuts


def _mean(states: Matrix, kept: Matrix, starts: npt.NDArray[np.int64]) -> Matrix:
    total: Matrix = np.add.reduceat(states * kept, starts, axis=0)
    weight: Matrix = np.add.reduceat(kept, starts, axis=0)
    return total / weight


def _maximum(states: Matrix, kept: Matrix, starts: npt.NDArray[np.int64]) -> Matrix:
    found: Matrix = np.maximum.reduceat(states, starts, axis=0)
    return found


def _weights(sif: float, words: int) -> Matrix:
    """The weight of each token id."""
    if not sif:
        return np.ones(words, np.float32)
    ranks = 1 / np.arange(1, words + 1)
    found: Matrix = (sif / (sif + ranks / ranks.sum())).astype(np.float32)
    return found
