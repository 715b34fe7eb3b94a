"""Documents with a tree of passages that lie in them (TECHNIQUES `sharedllm-tree`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, ClassVar

import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass

from operators import columns
from operators.base import STRICT, Resources, Transform
from operators.model import Model
from operators.text import documents
from operators.text.halves import Tree, halved
from operators.text.passages import check, offsets_of

_SPANS = columns.spans(columns.LEVEL, columns.WITHIN)


@dataclass(frozen=True, config=STRICT)
class LateTree:
    """As `late-passages`, but a document is halved until no part has more than `tokens` tokens.

    All parts are passages, the whole document the first. `level` counts the halvings, `within`
    is the id of the part that a part is a half of; halves make it up exactly.
    """

    name: ClassVar[str] = "late-tree"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = False
    of_text: ClassVar[bool] = False

    model: Model
    tokens: Annotated[int, Field(ge=8)] = 200
    """Tokens a part that is not halved may have, special tokens and prompts not counted."""

    def bind(self, schema: pa.Schema) -> pa.Schema:
        check(self.name, schema, self.model, self.tokens)
        return documents.bound(schema, self.model, _SPANS)

    @contextmanager
    def open(self, on: Resources = Resources()) -> Iterator[Transform]:  # noqa: B008 - frozen
        yield partial(documents.reader(self.model, _SPANS).laid_out, self._cut)

    def _cut(self, encoder: Any, texts: list[str]) -> Iterator[documents.Cut]:
        for text, offsets in zip(texts, offsets_of(encoder, texts), strict=True):
            tree = halved(text, offsets, self.tokens)
            yield documents.Cut(tree.places, partial(_told, tree))


def _told(tree: Tree, ids: list[str]) -> dict[str, Any]:
    within = [ids[number] if number >= 0 else None for number in tree.within]
    return {columns.LEVEL.name: tree.levels, columns.WITHIN.name: within}
