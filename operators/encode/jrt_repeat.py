"""A decoder reads a text twice, and its second reading is pooled (TECHNIQUES `jrt-repeat`)."""

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

import pyarrow as pa
from pydantic.dataclasses import dataclass

from operators import columns
from operators.base import STRICT
from operators.encode import sight
from operators.encode.shape import Shape
from operators.encode.strategy import TAKES, Encoded, Encoding, Opening, cut, vectors
from operators.model import Folder

if TYPE_CHECKING:
    from operators.encode.loop import Ragged


@dataclass(frozen=True, config=STRICT)
class JrtRepeat:
    """Pool the states of a row's second copy: each of its tokens has seen the whole text.

    The ids are repeated as they are, special tokens and prompt included. A text may have half of
    the model's length; what is longer is cut and `truncated`.
    """

    engines: ClassVar[frozenset[str]] = frozenset(TAKES)
    needs: ClassVar[tuple[pa.Field, ...]] = (columns.TRUNCATED,)

    kind: Literal["jrt-repeat"] = "jrt-repeat"

    def fields(self, folder: Folder, model: str, shape: Shape) -> list[pa.Field]:
        sight.check_decoder(folder, model, self.kind)
        return [columns.embedding(shape.dim), columns.TRUNCATED]

    def open(self, opening: Opening) -> Encoding:
        from operators.encode import embedder, probe
        from operators.encode.loop import Loop, Ragged
        from operators.encode.rows import shortened

        folder, model = opening.folder, opening.model
        network = embedder.opened(opening)

        def short(rows: Ragged) -> Ragged:
            return shortened(rows, folder.max_length // 2, folder, model)[0]

        probe.check_vectors(folder, network, lambda rows: _twice(short(rows)))
        probe.check_sight(folder, network, both_ways=False)
        loop = Loop(network, opening.budget)

        def encode(rows: Ragged, table: pa.Table) -> Encoded:
            once, shorter = shortened(rows, folder.max_length // 2, folder, model)
            return cut(vectors(loop, _twice(once)), table, shorter)

        return encode


def _twice(rows: "Ragged") -> "Ragged":
    """Each row two times end to end; the pooling leaves the first out, and both prompts."""
    from operators.encode.rows import joined

    left_out = rows.lengths if rows.prompts is None else rows.lengths + rows.prompts
    return replace(joined(rows, rows), prompts=left_out)
