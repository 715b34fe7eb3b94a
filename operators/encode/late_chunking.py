"""A document is read whole, and each of its passages pooled from what was read."""

from typing import Annotated, ClassVar, Literal

import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass

from operators import columns
from operators.base import STRICT
from operators.encode.pooled import Pooled
from operators.encode.shape import Shape
from operators.encode.strategy import TAKES, Encoded, Encoding, Opening, embedded
from operators.errors import ModelError
from operators.model import Folder


@dataclass(frozen=True, config=STRICT)
class LateChunking:
    """Pool the states that a passage's own tokens have in its document.

    Special tokens and prompt stand once around a document; the passages that begin and end it
    have them. A document that is longer than `window` is read in windows of that many tokens at
    even distances, each with special tokens and prompt; a token's state is taken from the window
    whose middle is nearest.
    """

    engines: ClassVar[frozenset[str]] = frozenset(TAKES)
    needs: ClassVar[tuple[pa.Field, ...]] = ()
    of_documents: ClassVar[bool] = True
    one_sided: ClassVar[frozenset[str]] = frozenset({"window", "overlap"})

    kind: Literal["late-chunking"] = "late-chunking"
    window: Annotated[int, Field(ge=0)] = 0
    """Tokens that are read at once, special tokens and prompt included; 0: all the model takes."""
    overlap: Annotated[int, Field(ge=0)] = 128
    """Tokens that neighbouring windows share at least; never more than half of a window."""

    def of_queries(self) -> Pooled:
        return Pooled()

    def fields(self, folder: Folder, model: str, shape: Shape) -> list[pa.Field]:
        if "cls" in shape.pooling:
            problem = "pools the first token, which only one passage of a document has; "
            raise ModelError(model, problem + "late-chunking needs a pooling: mean, last or max")
        if self.window > folder.max_length:
            problem = f"takes {folder.max_length} tokens; late-chunking's window is {self.window}"
            raise ModelError(model, problem)
        return [columns.embedding(shape.dim), columns.N_TOKENS]

    def open(self, opening: Opening) -> Encoding:
        from operators.encode import embedder, late, probe
        from operators.encode.loop import Loop, Ragged

        network = embedder.opened(opening)
        probe.self_check(opening.folder, opening.shape, network)
        loop = Loop(late.States(network, opening.folder.width), opening.budget)
        window = self.window or opening.folder.max_length
        pooler = late.Pooler(network, loop, window, self.overlap)

        def encode(rows: Ragged, table: pa.Table) -> Encoded:
            spans = late.spans_of(rows, table)
            made, bad = embedded(pooler.vectors(rows, spans))
            return Encoded([*made, (columns.N_TOKENS, pa.array(spans.lengths))], bad)

        return encode
