"""Documents to passages: token windows that overlap, end at sentences and keep their ids."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from operators import columns
from operators.base import STRICT, Resources, Transform
from operators.contract import require
from operators.errors import ConfigError, ContractError
from operators.model import Model, resolve
from operators.text import tokenizer
from operators.text.windows import Places, windows

CHARACTERS_A_CALL = 1 << 18
"""A tokenizer that tells where its tokens lie needs some hundred bytes a character."""
_PLACES = ("position", "char_start", "char_stop")

Row = tuple[str, str, bytes, int, int, int]
"""Id, text, hash, position, first character, character after the last."""


@dataclass(frozen=True, config=STRICT)
class Passages:
    """Cut each text in passages of at most `tokens` tokens of the model; other columns repeat.

    A passage's id is its parent's, `#`, and 16 hex digits of the hash of its text, so it stays
    while the passage does; the n-th repeat of a text in one parent ends in `-n`. `text` is the
    parent's text from character `char_start` to `char_stop`, `position` counts within the parent.
    """

    name: ClassVar[str] = "passages"
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
        return _output_schema(schema)

    @contextmanager
    def open(self, on: Resources = Resources()) -> Iterator[Transform]:  # noqa: B008 - frozen
        yield partial(self._cut_all, tokenizer.load(resolve(self.model)))

    def _cut_all(self, encoder: Any, table: pa.Table) -> pa.Table:
        # A tokenizer takes Python strings only: the one place where text leaves Arrow.
        texts = list(table["text"].to_numpy())
        ids = table["id"].to_numpy()
        parents: list[int] = []
        rows: list[Row] = []
        for start, stop in tokenizer.calls(texts, CHARACTERS_A_CALL):
            found = cut(encoder, texts[start:stop], self.tokens, self.overlap)
            for parent, ranges in zip(range(start, stop), found, strict=True):
                rows += named(ids[parent], texts[parent], ranges)
                parents += [parent] * len(ranges)
        return _table(table, parents, rows)


def check_overlap(overlap: int, tokens: int) -> None:
    """ValueError where passages would be made of each other."""
    if overlap * 2 > tokens:
        raise ValueError(f"overlap is {overlap}: more than half of tokens ({tokens})")


def check(name: str, schema: pa.Schema, model: Model, tokens: int) -> None:
    """ContractError and ConfigError where documents cannot be cut in passages of so many tokens."""
    require(name, schema, columns.ID, columns.TEXT, columns.CONTENT_HASH)
    for own in ("parent_id", "parent_hash", *_PLACES):
        if own in schema.names:
            found = f"{own} already; leave it out of keep"
            raise ContractError(name, own, "a column of its own", found)
    folder = resolve(model)
    specials = tokenizer.complete(folder, model.path).num_special_tokens_to_add(False)
    room = folder.max_length - specials
    if tokens > room:
        problem = f"tokens is {tokens}, but model {model.path} takes {room}"
        raise ConfigError((f"{name}: {problem}",))


def cut(encoder: Any, texts: list[str], tokens: int, overlap: int) -> Iterator[Places]:
    """The windows of each text, by tokens in their place, then by their own where it matters.

    A part on its own may have more tokens than it has in the text, where a cut changed words.
    """
    offsets = offsets_of(encoder, texts)
    tried = [
        windows(text, places, tokens, overlap, lambda _: 0)
        for text, places in zip(texts, offsets, strict=True)
    ]
    parts = [text[a:b] for text, ranges in zip(texts, tried, strict=True) for a, b in ranges]
    counted = encoder.encode_batch_fast(parts, add_special_tokens=False)
    counts = iter([len(row) for row in counted])
    for text, places, ranges in zip(texts, offsets, tried, strict=True):
        if max(islice(counts, len(ranges))) > tokens:
            yield windows(text, places, tokens, overlap, partial(_count, encoder))
        else:
            yield ranges


def offsets_of(encoder: Any, texts: list[str]) -> list[Places]:
    """Of each text the (tokens, 2) matrix of its tokens' character ranges."""
    found = encoder.encode_batch(texts, add_special_tokens=False)
    return [np.array(row.offsets, np.int64).reshape(-1, 2) for row in found]


def named(parent_id: str, text: str, ranges: Places) -> Iterator[Row]:
    """The passages that lie at these characters of a text, with their ids."""
    seen: Counter[bytes] = Counter()
    for position, (start, stop) in enumerate(ranges):
        passage = text[start:stop]
        digest = hashlib.blake2b(passage.encode(), digest_size=16).digest()
        seen[digest] += 1
        repeat = f"-{seen[digest]}" if seen[digest] > 1 else ""
        yield f"{parent_id}#{digest.hex()[:16]}{repeat}", passage, digest, position, start, stop


def _table(table: pa.Table, parents: list[int], rows: list[Row]) -> pa.Table:
    """The passages with what they take over from their parents."""
    taken = table.take(pa.array(parents, pa.int64()))
    made = zip(*rows, strict=True) if rows else ([] for _ in range(6))
    own = dict(zip(("id", "text", "content_hash", *_PLACES), made, strict=True))
    schema = _output_schema(table.schema)
    named = {"parent_id": taken["id"], "parent_hash": taken["content_hash"]}
    arrays = [
        pa.array(own[field.name], field.type)
        if field.name in own
        else named[field.name]
        if field.name in named
        else taken[field.name]
        for field in schema
    ]
    return pa.table(arrays, schema=schema)


def _output_schema(schema: pa.Schema) -> pa.Schema:
    head: list[pa.Field] = [
        columns.ID,
        columns.PARENT_ID,
        columns.TEXT,
        columns.CONTENT_HASH,
        columns.PARENT_HASH,
        columns.POSITION,
        columns.CHAR_START,
        columns.CHAR_STOP,
    ]
    names = {field.name for field in head}
    return pa.schema([*head, *(field for field in schema if field.name not in names)])


def _count(encoder: Any, text: str) -> int:
    return len(encoder.encode(text, add_special_tokens=False))
