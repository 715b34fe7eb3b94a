"""Special tokens after a text whose states are its vector (TECHNIQUES `gem`)."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass

from operators import columns, modules
from operators.base import STRICT
from operators.encode import sight
from operators.encode.shape import Shape
from operators.encode.strategy import Encoded, Encoding, Opening, cut, vectors
from operators.encode.trained import Trained
from operators.errors import ModelError
from operators.model import Folder
from operators.quantize.artefact import fetched

if TYPE_CHECKING:
    from torch import Tensor

    from operators.encode.embedder import Embedder


@dataclass(frozen=True, config=STRICT)
class Gem:
    """Pool the states of `tokens` special tokens behind a text, which see it but not each other.

    Their positions go on where those of the text end. A text may have that many tokens less than
    the model takes; what is longer is cut and `truncated`.
    """

    engines: ClassVar[frozenset[str]] = frozenset({"torch"})
    needs: ClassVar[tuple[pa.Field, ...]] = (columns.TRUNCATED,)
    own_pooling: ClassVar[bool] = True

    kind: Literal["gem"] = "gem"
    tokens: Annotated[int, Field(ge=1, le=64)] = 1
    pool: Literal["mean", "concat"] = "mean"
    """Their states' mean, or one behind the other."""
    artefact: Trained = ""
    """Their trained embeddings: a safetensors file of one (tokens, width) tensor, named by its
    digest (`b2sum -l 128`). Empty: random ones, which say nothing of a text but show the way."""
    seed: int = 0
    """Of the random ones."""

    def fields(self, folder: Folder, model: str, shape: Shape) -> list[pa.Field]:
        sight.check_decoder(folder, model, self.kind)
        sight.check_obeys(folder, model)
        if self.tokens >= folder.max_length:
            problem = f"its {folder.max_length} tokens leave no room for {self.tokens} special ones"
            raise ModelError(model, problem)
        if self.artefact:
            self._trained(folder, model)
        return [columns.embedding(self._shape(folder, model, shape).dim), columns.TRUNCATED]

    def open(self, opening: Opening) -> Encoding:
        from operators.encode import embedder, probe, vocabulary
        from operators.encode.loop import Loop, Ragged
        from operators.encode.rows import joined, same, shortened

        folder, model = opening.folder, opening.model
        shape = self._shape(folder, model, opening.shape)
        first, network = self._opened(embedder.opened(replace(opening, shape=shape)), folder)
        specials = np.arange(first, first + self.tokens, dtype=np.int32)

        def marked(rows: Ragged) -> Ragged:
            behind = same(specials, len(rows.lengths))
            return joined(rows, behind, prompts=rows.lengths)  # the pooling leaves the text out

        def short(rows: Ragged) -> tuple[Ragged, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
            return shortened(rows, folder.max_length - self.tokens, folder, model)

        probe.check_vectors(folder, network, lambda rows: marked(short(rows)[0]))
        probe.check_sight(folder, network, both_ways=False)
        text = probe.ids_of_text(folder)[: folder.max_length - self.tokens]
        _check_blind(network, text, list(map(int, specials)))
        loop = Loop(network, opening.budget)

        def encode(rows: Ragged, table: pa.Table) -> Encoded:
            vocabulary.check(rows.ids, first, model)  # or a text might hold a special token
            texts, shorter = short(rows)
            return cut(vectors(loop, marked(texts)), table, shorter)

        return encode

    def _shape(self, folder: Folder, model: str, shape: Shape) -> Shape:
        width = folder.width * (self.tokens if self.pool == "concat" else 1)
        dim = modules.output_dim(width, shape.head, model)
        return Shape(("mean",), shape.head, dim, guessed=False)

    def _opened(self, network: "Embedder", folder: Folder) -> tuple[int, "Embedder"]:
        """The id of the first special token, and the network that has them and blinds them."""
        import torch

        from operators.encode import masks, vocabulary
        from operators.encode.changed import Changed
        from operators.encode.masked import Masked

        own = vocabulary.table(network.backend.network)
        if self.artefact:
            rows = torch.from_numpy(self._trained(folder, network.model))
        else:
            made = torch.Generator().manual_seed(self.seed)
            rows = torch.randn(self.tokens, folder.width, generator=made) * float(own.float().std())
        first = vocabulary.add_tokens(network.backend.network, rows, network.model)
        backend = Changed(network.backend, Masked(partial(masks.blind_ends, count=self.tokens)))
        pools: tuple[Callable[[Tensor, Tensor], Tensor], ...] = network.pools
        if self.pool == "concat":
            pools = (_behind_each_other,)
        return first, replace(network, backend=backend, pools=pools)

    def _trained(
        self, folder: Folder, model: str
    ) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
        found = list(fetched(self.artefact).values())
        wanted = (self.tokens, folder.width)
        if len(found) != 1 or found[0].shape != wanted:
            shapes = ", ".join(str(each.shape) for each in found) or "none"
            problem = f"{self.artefact} should hold one tensor of shape {wanted}, it holds {shapes}"
            raise ModelError(model, problem)
        return np.asarray(found[0], np.float32)


def _behind_each_other(states: "Tensor", place: "Tensor") -> "Tensor":
    """The states of the special tokens end to end: each row has as many."""
    return states[place > 0].float().reshape(len(states), -1)


def _check_blind(network: "Embedder", text: list[int], specials: list[int]) -> None:
    """ModelError unless a special token that is changed moves its own state and no other."""
    from operators.encode import probe

    changed = [*text, text[0], *specials[1:]]
    moved = probe.moved(network, [*text, *specials], changed)
    if moved.nonzero()[0].tolist() != [len(text)]:
        problem = "its special tokens see each other under the strategy's mask; it cannot be used"
        raise ModelError(network.model, f"{problem} with gem")
