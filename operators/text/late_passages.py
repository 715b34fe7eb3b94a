"""Documents with the passages that lie in them, for a model that reads them whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, ClassVar, Self

import pyarrow as pa
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from operators import columns
from operators.base import STRICT, Resources, Transform
from operators.model import Model
from operators.text import documents
from operators.text.passages import check, check_overlap, cut


@dataclass(frozen=True, config=STRICT)
class LatePassages:
    """Replace `text` by all its `input_ids`, uncut, and `spans`: the passages of `passages`.

    `encode` with strategy `late-chunking` makes rows of them: the ids, hashes and places that
    `passages` gives for the same `tokens` and `overlap`.
    """

    name: ClassVar[str] = "late-passages"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = False
    of_text: ClassVar[bool] = False

    model: Model
    tokens: Annotated[int, Field(ge=8)] = 200
    """Tokens a passage may have, special tokens and prompts not counted."""
    overlap: Annotated[int, Field(ge=0)] = 20
    """Tokens at the end of a passage that may come again at the start of the next."""

    @model_validator(mode="after")
    def _overlap_is_small(self) -> Self:
        check_overlap(self.overlap, self.tokens)
        return self

    def bind(self, schema: pa.Schema) -> pa.Schema:
        check(self.name, schema, self.model, self.tokens)
        return documents.bound(schema, self.model, columns.spans())

    @contextmanager
    def open(self, on: Resources = Resources()) -> Iterator[Transform]:  # noqa: B008 - frozen
        yield partial(documents.reader(self.model, columns.spans()).laid_out, self._cut)

    def _cut(self, encoder: Any, texts: list[str]) -> Iterator[documents.Cut]:
        yield from map(documents.Cut, cut(encoder, texts, self.tokens, self.overlap))
