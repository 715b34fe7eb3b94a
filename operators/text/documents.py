"""Documents that stay one row each, with all their token ids and the passages that lie in them.

Rows between steps are taken apart, halved and sampled; a document in one row cannot lose a part.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from operators import columns
from operators.arrays import ragged_column
from operators.contract import assign, extend, reject, without
from operators.model import Model, resolve
from operators.text import tokenizer
from operators.text.passages import CHARACTERS_A_CALL, named
from operators.text.windows import Places

_NOTHING = "no token is left of its text"
_INSIDE = (columns.TOKEN_START.name, columns.TOKEN_STOP.name)
"""What of a passage is of no use once it has a vector."""
_PLACED = ("position", "char_start", "char_stop")


class Cut(NamedTuple):
    """The passages of one text, and what else is told of them."""

    places: Places
    """(n, 2) character ranges [start, stop)."""
    more: Callable[[list[str]], dict[str, Any]] = lambda _: {}
    """Further columns of theirs, from their ids."""


Cutter = Callable[[Any, list[str]], Iterator[Cut]]
"""Cuts texts by the tokens that a tokenizer finds in them."""


@dataclass(frozen=True, eq=False)
class Reader:
    """Tokenizes whole documents behind their prompt."""

    cuts: Any
    """The tokenizer by which passages are cut, without special tokens."""
    encoder: Any
    prompt: tokenizer.Prompt
    spans: pa.Field

    def laid_out(self, cutter: Cutter, table: pa.Table) -> pa.Table:
        """Replace `text` by all ids of it, uncut, and by its passages."""
        # A tokenizer takes Python strings only: the one place where text leaves Arrow.
        texts, names = list(table["text"].to_numpy()), table["id"].to_numpy()
        ids: list[npt.NDArray[np.int32]] = []
        inside: list[pa.Array] = []
        for start, stop in tokenizer.calls(texts, CHARACTERS_A_CALL):
            part = texts[start:stop]
            rows = self.encoder.encode_batch([self.prompt.text + text for text in part])
            cut = cutter(self.cuts, part)
            for name, text, row, found in zip(names[start:stop], part, rows, cut, strict=True):
                ids.append(np.array(row.ids, np.int32))
                inside.append(self._passages(name, text, row, found))
        return self._table(table, ids, inside)

    def _passages(self, name: str, text: str, row: Any, found: Cut) -> pa.Array:
        """The passages of one document; none where its text gives no token."""
        kind: Any = self.spans.type.value_type
        tokens = _tokens(row, len(self.prompt.text), found.places)
        if tokens is None:
            return cast("pa.Array", pa.array([], kind))
        made = zip(*named(name, text, found.places), strict=True)
        own: dict[str, Any] = dict(zip(("id", "text", "content_hash", *_PLACED), made, strict=True))
        own |= {"token_start": tokens[0], "token_stop": tokens[1]}
        own |= found.more(list(own["id"]))
        arrays = [pa.array(own[field.name], field.type) for field in kind]
        inside: Any = pa.StructArray.from_arrays(arrays, fields=list(kind))
        return cast("pa.Array", inside)

    def _table(
        self, table: pa.Table, ids: list[npt.NDArray[np.int32]], inside: list[pa.Array]
    ) -> pa.Table:
        lengths, none = np.array([len(row) for row in ids], np.int32), np.zeros(0, np.int32)
        counts = np.array([len(each) for each in inside], np.int32)
        flat = pa.concat_arrays([pa.array([], self.spans.type.value_type), *inside])
        starts: Any = pa.array(_offsets(counts))
        spans: pa.Array = pa.ListArray.from_arrays(starts, flat)
        out = table.drop_columns(["text"])
        whole = ragged_column(np.concatenate([none, *ids]), _offsets(lengths))
        out = assign(out, columns.INPUT_IDS, whole)
        out = assign(out, columns.N_TOKENS, pa.array(lengths))
        out = assign(out, columns.TRUNCATED, pa.array(np.zeros(len(ids), np.bool_)))
        if self.prompt.left_out >= 0:
            prompts = np.full(len(ids), self.prompt.left_out, np.int32)
            out = assign(out, columns.PROMPT_TOKENS, pa.array(prompts))
        return reject(assign(out, self.spans, spans), counts == 0, _NOTHING)


def bound(schema: pa.Schema, model: Model, spans: pa.Field) -> pa.Schema:
    """What `laid_out` makes of a table."""
    return extend(tokenizer.Tokenize(model).bind(schema), spans)


def reader(model: Model, spans: pa.Field) -> Reader:
    """The model's tokenizer and prompt for documents; ModelError where they leave no room."""
    folder = resolve(model)
    prompt = tokenizer.Tokenize(model).tokenizer().prompts[0]
    encoder = tokenizer.complete(folder, model.path)
    return Reader(tokenizer.load(folder), encoder, prompt, spans)


def fanned(schema: pa.Schema) -> pa.Schema:
    """What `exploded` makes of a schema with `spans`."""
    kept = without(schema, columns.SPANS)
    own = [field for field in _fields(schema) if field.name not in _INSIDE]
    return extend(kept, columns.PARENT_ID, columns.PARENT_HASH, *own)


def exploded(table: pa.Table) -> pa.Table:
    """A row for each passage, with its document's columns; documents become `parent_id`."""
    spans: Any = table[columns.SPANS]
    out = table.drop_columns([columns.SPANS]).take(pc.list_parent_indices(spans))
    out = assign(out, columns.PARENT_ID, out["id"])
    out = assign(out, columns.PARENT_HASH, out["content_hash"])
    flat: Any = pc.list_flatten(spans)
    for number, field in enumerate(_fields(table.schema)):
        if field.name not in _INSIDE:
            out = assign(out, field, pc.struct_field(flat, number))
    return out


def _fields(schema: pa.Schema) -> list[pa.Field]:
    kind: Any = schema.field(columns.SPANS).type
    return list(kind.value_type)


def _tokens(row: Any, prompt: int, places: Places) -> tuple[Places, Places] | None:
    """The row's tokens [start, stop) of each character range; None where the text has none.

    What no passage has at either end of the text goes to those that begin or end it.
    """
    text = ~np.array(row.special_tokens_mask, np.bool_)
    ends = np.array(row.offsets, np.int64).reshape(-1, 2)[:, 1]
    text &= ends > prompt
    if not text.any():
        return None
    first, last = int(text.argmax()), len(text) - int(text[::-1].argmax())
    reach = np.maximum.accumulate(ends[first:last]) - prompt
    starts = np.searchsorted(reach, places[:, 0], "right")
    stops = np.searchsorted(reach, places[:, 1], "right")
    starts = np.minimum(starts, len(reach) - 1)
    starts[places[:, 0] == places[:, 0].min()] = 0
    stops[places[:, 1] == places[:, 1].max()] = len(reach)
    return first + starts, first + np.maximum(stops, starts + 1)


def _offsets(lengths: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    return np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
