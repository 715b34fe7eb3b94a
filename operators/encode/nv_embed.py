"""A decoder that sees both ways, and latents that its tokens ask (TECHNIQUES `nv-embed`)."""

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic.dataclasses import dataclass

from operators import columns
from operators.base import STRICT
from operators.encode.shape import Shape
from operators.encode.strategy import Encoded, Encoding, Opening, vectors
from operators.errors import ModelError
from operators.model import Folder
from operators.wrapped import LATENT

if TYPE_CHECKING:
    from operators.encode.loop import Ragged


@dataclass(frozen=True, config=STRICT)
class NvEmbed:
    """The mean of all token states after they asked the latents, from the released weights.

    The end of a text is marked where its tokenizer does not. An instruction is a prompt of the
    model or of `tokenize`: its tokens are seen and left out of the mean.
    """

    engines: ClassVar[frozenset[str]] = frozenset({"torch"})
    needs: ClassVar[tuple[pa.Field, ...]] = ()
    own_pooling: ClassVar[bool] = True
    one_sided: ClassVar[frozenset[str]] = frozenset({"instruction"})

    kind: Literal["nv-embed"] = "nv-embed"
    instruction: Literal["strict", "release"] = "strict"
    """strict leaves out the first token and the instruction; the released code counts without the
    first token, so its last token of an instruction stays in the mean."""

    def of_queries(self) -> "NvEmbed":
        return self

    def fields(self, folder: Folder, model: str, shape: Shape) -> list[pa.Field]:
        if LATENT not in folder.config:
            problem = "is no NV-Embed: its config.json is not of model_type nvembed"
            raise ModelError(model, problem)
        if shape.pooling != ("mean",):
            raise ModelError(model, f"its modules pool by {shape.pooling[0]}, NV-Embed by the mean")
        return [columns.embedding(shape.dim)]

    def open(self, opening: Opening) -> Encoding:
        from operators.encode import embedder, latents, masks, probe
        from operators.encode.changed import Changed
        from operators.encode.loop import Loop, Ragged
        from operators.encode.masked import Masked

        decoder, weights, heads = latents.load(opening)
        asked = Changed(Changed(decoder, Masked(masks.both_ways)), latents.Latents(weights, heads))
        network = embedder.of_backend(asked, opening.model, opening.shape)
        probe.check_vectors(opening.folder, network)
        probe.check_sight(opening.folder, network, both_ways=True)
        loop = Loop(network, opening.budget)
        end = int(opening.folder.config.get("eos_token_id") or 0)

        def encode(rows: Ragged, table: pa.Table) -> Encoded:
            rows = ended(rows, end)
            if self.instruction == "release" and rows.prompts is not None:
                rows = replace(rows, prompts=np.maximum(rows.prompts - 1, 0))
            return vectors(loop, rows)

        return encode


def ended(rows: "Ragged", end: int) -> "Ragged":
    """The rows, each with the token `end` as its last one."""
    lacking = rows.lengths == 0
    lacking[~lacking] = rows.ids[rows.offsets[1:][~lacking] - 1] != end
    places = rows.offsets[1:][lacking]
    offsets = rows.offsets + np.concatenate([[0], np.cumsum(lacking)]).astype(np.int32)
    return replace(rows, ids=np.insert(rows.ids, places, end), offsets=offsets)
