"""A decoder whose first tokens see each other both ways (TECHNIQUES `prefix-lm`, of CodeGen2)."""

from dataclasses import dataclass as plain
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

import pyarrow as pa
from pydantic.dataclasses import dataclass

from operators import columns
from operators.base import STRICT
from operators.encode import sight
from operators.encode.shape import Shape
from operators.encode.strategy import Encoded, Encoding, Opening, vectors
from operators.errors import ModelError
from operators.model import Folder

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from operators.encode.embedder import Backend, Embedder
    from operators.encode.loop import Forward


@dataclass(frozen=True, config=STRICT)
class PrefixLm:
    """Pool the states of a decoder whose prefix sees all of itself, and the rest only back."""

    engines: ClassVar[frozenset[str]] = frozenset({"torch"})
    needs: ClassVar[tuple[pa.Field, ...]] = ()

    kind: Literal["prefix-lm"] = "prefix-lm"
    prefix: int | Literal["prompt"] = -1
    """Tokens of the prefix; below 0 all but that many at the end; prompt: those of the prompt."""

    def fields(self, folder: Folder, model: str, shape: Shape) -> list[pa.Field]:
        sight.check_decoder(folder, model, self.kind)
        sight.check_obeys(folder, model)
        pooling = folder.modules.pooling
        if self.prefix == "prompt" and (pooling is None or pooling.include_prompt):
            problem = "its folder does not leave the prompt out of the pooling, so the tokens of a "
            raise ModelError(model, problem + "prompt are not counted; give prefix as a number")
        return [columns.embedding(shape.dim)]

    def open(self, opening: Opening) -> Encoding:
        from operators.encode import embedder, probe
        from operators.encode.loop import Loop, Ragged

        network = embedder.opened(opening)
        tried = probe.ids_of_text(opening.folder)
        length = len(tried) // 2 if self.prefix == "prompt" else self.prefix
        probe.check_vectors(opening.folder, _seen(network, length))
        _check(network, tried, length)
        forward: Forward = _seen(network, length)
        if self.prefix == "prompt":
            forward = _ByPrompt(network)
        loop = Loop(forward, opening.budget)

        def encode(rows: Ragged, table: pa.Table) -> Encoded:
            return vectors(loop, rows)

        return encode


@plain(frozen=True)
class _ByPrompt:
    """A forward pass in which the prefix of each row is its prompt, or nothing."""

    embedder: "Embedder"

    @property
    def model(self) -> str:
        return self.embedder.model

    @property
    def device(self) -> "torch.device":
        return self.embedder.device

    @property
    def dim(self) -> int:
        return self.embedder.dim

    @property
    def pad(self) -> int:
        return self.embedder.pad

    @property
    def backend(self) -> "Backend":
        return self.embedder.backend

    def __call__(self, ids: "Tensor", mask: "Tensor | None", prompts: "Tensor | None") -> "Tensor":
        prefix = 0 if prompts is None else prompts
        return _seen(self.embedder, prefix)(ids, mask, prompts)


def _seen(network: "Embedder", prefix: "int | Tensor") -> "Embedder":
    """The network under the mask of a prefix of that length, or those (rows) lengths."""
    from operators.encode.changed import Changed
    from operators.encode.masked import Masked

    return replace(
        network, backend=Changed(network.backend, Masked(partial(_allowed, prefix=prefix)))
    )


def _allowed(own: "Tensor", prefix: "int | Tensor") -> "Tensor":
    from operators.encode import masks

    whole = own.new_zeros(len(own)) + prefix
    return masks.prefix(own, whole)


def _check(network: "Embedder", ids: list[int], prefix: int) -> None:
    """ModelError unless the first token sees the prefix's last one, and not the one behind it."""
    from operators.encode import probe

    end = min(max(prefix if prefix >= 0 else len(ids) + prefix, 0), len(ids))
    for place, wanted in ((end - 1, True), (end, False)):
        if 0 < place < len(ids):
            changed = [*ids[:place], ids[place - 1], *ids[place + 1 :]]
            if (
                changed != ids
                and bool(probe.moved(_seen(network, prefix), ids, changed)[0]) != wanted
            ):
                seen = "does not see the prefix's end" if wanted else "sees beyond the prefix"
                problem = f"its first token {seen} under the strategy's mask; it cannot be used"
                raise ModelError(network.model, f"{problem} with prefix-lm")
