"""A prompt around a text, its last state put in front layer by layer (`token-prepending`)."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from operators import columns, modules
from operators.base import STRICT
from operators.encode import depth, sight
from operators.encode.shape import Shape
from operators.encode.strategy import Encoded, Encoding, Opening, cut, embedded
from operators.errors import ModelError
from operators.model import Folder

if TYPE_CHECKING:
    from operators.encode.frames import Framed
    from operators.encode.loop import Ragged

EOL = ('This sentence : <PST> "{text}" means in one word:"',)
META = (
    'Sorted into a broad subject such as health or sport, this text : <PST> "{text}" is about:"',
    'A librarian who had to shelve this text : <PST> "{text}" would choose the label:"',
    'The feeling that this text : <PST> "{text}" leaves a reader with is in one word:"',
    'Asked for an opinion, the writer of this text : <PST> "{text}" would say in one word:"',
    'Said again in other words, this text : <PST> "{text}" means in one word:"',
    'Two texts that mean the same have one summary; that of this text : <PST> "{text}" is:"',
    'The fact that matters most in this text : <PST> "{text}" is in one word:"',
    'Whoever looks for this text : <PST> "{text}" would ask for:"',
)
"""Two for each of four tasks: subject, feeling, paraphrase and fact. The words are ours."""
_PARTS = ("<PST>", "{text}")


def _framing(template: str) -> str:
    before, placed, rest = template.partition(_PARTS[0])
    if not placed or [each.count(part) for part in _PARTS for each in (before, rest)] != [
        0,
        0,
        0,
        1,
    ]:
        raise ValueError(f"{template!r} should hold <PST> once, and then {{text}} once")
    return template


@dataclass(frozen=True, config=STRICT)
class TokenPrepending:
    """The last token's state after `out` layers, of a prompt around the text; no training needed.

    Before each of the layers [start, stop) that state is also put in the place of <PST>, which
    stands in front of the text: so its tokens know what comes after them. Several prompts: the
    mean of their vectors. The state is that between two layers, without a final norm.
    """

    engines: ClassVar[frozenset[str]] = frozenset({"torch"})
    needs: ClassVar[tuple[pa.Field, ...]] = (columns.TRUNCATED,)
    own_pooling: ClassVar[bool] = True
    one_sided: ClassVar[frozenset[str]] = frozenset({"prompts"})

    kind: Literal["token-prepending"] = "token-prepending"
    prompts: (
        Literal["eol", "meta-eol"]
        | Annotated[tuple[Annotated[str, AfterValidator(_framing)], ...], Field(min_length=1)]
    ) = "eol"
    """One prompt, the mean of eight, or templates of your own with <PST> and then {text}."""
    start: Annotated[int, Field(ge=0)] = 1
    stop: Annotated[int, Field(ge=0)] = 6
    """As `start`: nothing is prepended."""
    out: int = -2
    """Layers before the state is taken; below 0 from the end, -1 being all of them."""

    def of_queries(self) -> "TokenPrepending":
        return self

    def fields(self, folder: Folder, model: str, shape: Shape) -> list[pa.Field]:
        sight.check_decoder(folder, model, self.kind)
        self._out(depth.depth(folder, model, self.kind), model)
        return [columns.embedding(self._dim(folder, model, shape)), columns.TRUNCATED]

    def open(self, opening: Opening) -> Encoding:
        from operators.encode import frames
        from operators.encode.loop import Ragged

        folder, model = opening.folder, opening.model
        out = self._out(depth.depth(folder, model, self.kind), model)
        framed = frames.opened(opening, self._templates(), range(self.start, self.stop), out)

        def encode(rows: Ragged, table: pa.Table) -> Encoded:
            return _encoded(framed, rows, table)

        return encode

    def _templates(self) -> tuple[str, ...]:
        if isinstance(self.prompts, str):
            return EOL if self.prompts == "eol" else META
        return self.prompts

    def _dim(self, folder: Folder, model: str, shape: Shape) -> int:
        return modules.output_dim(folder.width, shape.head, model)

    def _out(self, has: int, model: str) -> int:
        out = self.out if self.out >= 0 else has + 1 + self.out
        if not self.start <= self.stop <= out <= has or out < 1:
            problem = (
                f"it has {has} layers; start {self.start}, stop {self.stop} and out {self.out} "
                f"should be in this order and out from 1 to {has} (or -{has} to -1)"
            )
            raise ModelError(model, problem)
        return out


def _encoded(framed: "Framed", rows: "Ragged", table: pa.Table) -> Encoded:
    """The vectors of rows; a row that any prompt had to cut is cut."""
    found = [framed.states(number, rows) for number in range(framed.count)]
    shorter = np.any([each.shorter for each in found], axis=0)
    vectors = np.stack([each.vectors for each in found])
    mean = np.asarray(vectors.mean(axis=0), np.float32)
    return cut(embedded(framed.finished(mean)), table, shorter)
