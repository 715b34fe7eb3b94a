"""A decoder whose tokens see both ways (TECHNIQUES `ullme`, and the encoder of `nv-embed`)."""

from dataclasses import replace
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic.dataclasses import dataclass

from operators import columns
from operators.base import STRICT
from operators.encode import sight
from operators.encode.shape import Shape
from operators.encode.strategy import Encoded, Encoding, Opening, vectors
from operators.model import Folder


@dataclass(frozen=True, config=STRICT)
class Ullme:
    """Pool the states of a decoder that is given a mask under which every token sees all others.

    The weights stay as they are: most decoders need some training with such a mask to gain by it.
    """

    engines: ClassVar[frozenset[str]] = frozenset({"torch"})
    needs: ClassVar[tuple[pa.Field, ...]] = ()

    kind: Literal["ullme"] = "ullme"

    def fields(self, folder: Folder, model: str, shape: Shape) -> list[pa.Field]:
        sight.check_decoder(folder, model, self.kind)
        sight.check_obeys(folder, model)
        return [columns.embedding(shape.dim)]

    def open(self, opening: Opening) -> Encoding:
        from operators.encode import embedder, masks, probe
        from operators.encode.changed import Changed
        from operators.encode.loop import Loop, Ragged
        from operators.encode.masked import Masked

        network = embedder.opened(opening)
        network = replace(network, backend=Changed(network.backend, Masked(masks.both_ways)))
        probe.check_vectors(opening.folder, network)
        probe.check_sight(opening.folder, network, both_ways=True)
        loop = Loop(network, opening.budget)

        def encode(rows: Ragged, table: pa.Table) -> Encoded:
            return vectors(loop, rows)

        return encode
