"""A dense and a sparse vector of one pass (TECHNIQUES `dupmae`: RetroMAE v2)."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass

from operators import columns
from operators.base import STRICT
from operators.encode.shape import Shape
from operators.encode.sparse import sparse_columns, vocabulary
from operators.encode.strategy import Encoded, Encoding, Opening, embedded
from operators.errors import ModelError
from operators.model import Folder

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, config=STRICT)
class Dupmae:
    """The first token's state as `embedding`, and of each word the largest logit of the others.

    Logits are raw and keep their sign. The paper's score is the product of the vectors, not scaled
    to length one, plus that of the words. A Dense module of the folder stands for the paper's
    projection of the dense half, which nobody released; without one the state is taken as it is.
    """

    engines: ClassVar[frozenset[str]] = frozenset({"torch"})
    needs: ClassVar[tuple[pa.Field, ...]] = ()
    one_sided: ClassVar[frozenset[str]] = frozenset({"top_k"})

    kind: Literal["dupmae"] = "dupmae"
    top_k: Annotated[int, Field(ge=0)] = 384
    """Words that are kept of a row; 0: all, as the paper has it for queries."""

    def of_queries(self) -> "Dupmae":
        return replace(self, top_k=0)

    def fields(self, folder: Folder, model: str, shape: Shape) -> list[pa.Field]:
        if shape.pooling != ("cls",):
            problem = "strategy dupmae takes the first token's state; name pooling: cls"
            raise ModelError(model, problem)
        words = vocabulary(folder, model, max(self.top_k, 1), self.kind)
        return [columns.embedding(shape.dim), *columns.lexical(words)]

    def open(self, opening: Opening) -> Encoding:
        from operators.encode import embedder, lexicon, probe
        from operators.encode.loop import Loop, Ragged

        words = lexicon.opened(opening, _raw, skipped=1)
        dense = embedder.of_backend(words.backend, opening.model, opening.shape)
        probe.check_vectors(opening.folder, dense)
        probe.check_vectors(opening.folder, words)
        k = self.top_k or words.dim
        loop = Loop(lexicon.Heaviest(words, k, dense), opening.budget)

        def encode(rows: Ragged, table: pa.Table) -> Encoded:
            vectors, ids, weights = lexicon.collected(loop, rows, k)
            made = embedded(vectors)
            sparse = sparse_columns(ids, weights, words.dim, -np.inf)
            return Encoded([*made.columns, *sparse], made.bad | np.isnan(weights[:, 0]))

        return encode


def _raw(logits: "Tensor") -> "Tensor":
    return logits
