"""Sparse vectors over a masked language model's vocabulary (SPLADE, arXiv 2107.05720)."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass

from operators import columns
from operators.base import STRICT
from operators.encode.shape import Shape
from operators.encode.sparse import sparse_columns, vocabulary
from operators.encode.strategy import Encoded, Encoding, Opening
from operators.model import Folder

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, config=STRICT)
class Splade:
    """One sparse vector a row: of each word the largest log(1 + relu(logit)) of all tokens.

    Special tokens count, as where such models are trained; prompts that the folder leaves out of
    pooling do not. `normalize` has no meaning here.
    """

    engines: ClassVar[frozenset[str]] = frozenset({"torch"})
    needs: ClassVar[tuple[pa.Field, ...]] = ()
    own_pooling: ClassVar[bool] = True
    one_sided: ClassVar[frozenset[str]] = frozenset({"top_k", "threshold"})

    kind: Literal["splade"] = "splade"
    top_k: Annotated[int, Field(ge=1)] = 256
    """Heaviest words that are kept of a row, at most; of equal ones those with smaller ids."""
    threshold: Annotated[float, Field(ge=0)] = 0.0
    """Words whose weight is not above it are left out."""

    def of_queries(self) -> "Splade":
        return self

    def fields(self, folder: Folder, model: str, shape: Shape) -> list[pa.Field]:
        return columns.lexical(vocabulary(folder, model, self.top_k, self.kind))

    def open(self, opening: Opening) -> Encoding:
        from operators.encode import lexicon, probe
        from operators.encode.loop import Loop, Ragged

        words = lexicon.opened(opening, _saturated)
        probe.check_vectors(opening.folder, words)
        loop = Loop(lexicon.Heaviest(words, self.top_k), opening.budget)

        def encode(rows: Ragged, table: pa.Table) -> Encoded:
            _, ids, weights = lexicon.collected(loop, rows, self.top_k)
            bad = np.isnan(weights[:, 0])  # of such a row all are
            return Encoded(sparse_columns(ids, weights, words.dim, self.threshold), bad)

        return encode


def _saturated(logits: "Tensor") -> "Tensor":
    return logits.relu().log1p()
