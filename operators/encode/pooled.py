"""The plain way to encode: the last hidden states, pooled."""

from typing import ClassVar, Literal

import pyarrow as pa
from pydantic.dataclasses import dataclass

from operators import columns
from operators.base import STRICT
from operators.encode.shape import Shape
from operators.encode.strategy import TAKES, Encoded, Encoding, Opening, vectors
from operators.model import Folder


@dataclass(frozen=True, config=STRICT)
class Pooled:
    """One vector a row by the pooling and the layers that config and folder name."""

    engines: ClassVar[frozenset[str]] = frozenset(TAKES)
    needs: ClassVar[tuple[pa.Field, ...]] = ()

    kind: Literal["pooled"] = "pooled"

    def fields(self, folder: Folder, model: str, shape: Shape) -> list[pa.Field]:
        return [columns.embedding(shape.dim)]

    def open(self, opening: Opening) -> Encoding:
        from operators.encode import batches, embedder, probe
        from operators.encode.loop import Ragged

        network = embedder.opened(opening)
        probe.self_check(opening.folder, opening.shape, network)
        loop = batches.loop_of(network, opening)

        def encode(rows: Ragged, table: pa.Table) -> Encoded:
            return vectors(loop, rows)

        return encode
