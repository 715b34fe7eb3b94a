"""A query and a document to one prompt for a decoder, cut in the document alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from operators.errors import ModelError
from operators.model import Folder, Model, resolve
from operators.text.tokenizer import CHARACTERS_A_TOKEN, beginning, load

_ROWS = 256
"""Prompts tokenized at once: a tokenizer that tells where its tokens lie needs much memory."""
_PLACES = re.compile(r"\{(query|text)\}")


@dataclass(frozen=True)
class Template:
    """Literal text around `{query}` and `{text}`, each of them once."""

    parts: tuple[str, str, str]
    order: tuple[str, str]

    @property
    def ends_with_query(self) -> bool:
        return self.order[1] == "query" and not self.parts[2]

    def filled(self, query: str, text: str) -> "Filled":
        given = {"query": query, "text": text}
        first, second = (given[name] for name in self.order)
        before, between, after = self.parts
        starts = (len(before), len(before) + len(first) + len(between))
        where = dict(zip(self.order, starts, strict=True))
        whole = before + first + between + second + after
        return Filled(whole, where["query"], where["text"], where["text"] + len(text))


class Filled(NamedTuple):
    """A prompt, and the characters where its query starts and where its text starts and stops."""

    prompt: str
    query: int
    text: int
    text_stop: int


def parse(template: str, model: str) -> Template:
    """ModelError unless the template has `{query}` and `{text}`, each of them once."""
    pieces = _PLACES.split(template)
    if sorted(pieces[1::2]) != ["query", "text"]:
        problem = f"template {template!r} should hold {{query}} and {{text}}, each of them once"
        raise ModelError(model, problem)
    before, first, between, second, after = pieces
    return Template((before, between, after), (first, second))


def decoder_folder(model: Model, teacher: str) -> Folder:
    """The model's folder; ModelError unless it holds a causal language model."""
    folder = resolve(model)
    if not folder.is_decoder or folder.architecture.endswith("ForSequenceClassification"):
        found = folder.architecture or folder.model_type or "a model of no known type"
        raise ModelError(
            model.path, f"is {found}; {teacher} needs a causal language model (…ForCausalLM)"
        )
    return folder


class Fills(Protocol):
    """Makes a prompt of what is asked, which a caller may hold as it likes, and of a text."""

    def filled(self, query: Any, text: str) -> Filled: ...


@dataclass(frozen=True)
class Prompter:
    """Fills in a template and tokenizes it with the tokenizer of the model."""

    encoder: Any
    template: Fills
    max_length: int


class Prompts(NamedTuple):
    """Rows of ids end to end, ids a row, and ids before the query.

    Special tokens at the end are left out: what follows the prompt is what counts. A row that
    could not be cut has no ids.
    """

    ids: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int32]
    leading: npt.NDArray[np.int32]

    @property
    def offsets(self) -> npt.NDArray[np.int32]:
        return np.concatenate([np.zeros(1, np.int32), np.cumsum(self.lengths, dtype=np.int32)])


def prompter(folder: Folder, template: Template) -> Prompter:
    """The folder's tokenizer for prompts of at most its length."""
    return Prompter(load(folder), template, folder.max_length)


def encode_prompts(prompter: Prompter, queries: Sequence[Any], texts: list[str]) -> Prompts:
    """Tokenize the prompts of n pairs, each cut at the end of its text to the length."""
    rows: list[list[int]] = []
    leading: list[int] = []
    for start in range(0, len(queries), _ROWS):
        part = slice(start, start + _ROWS)
        for ids, before in _encode_call(prompter, queries[part], texts[part]):
            rows.append(ids)
            leading.append(before)
    lengths = np.array([len(row) for row in rows], np.int32)
    return Prompts(
        np.fromiter(chain.from_iterable(rows), np.int32), lengths, np.array(leading, np.int32)
    )


def _encode_call(
    prompter: Prompter, queries: Sequence[Any], texts: list[str]
) -> list[tuple[list[int], int]]:
    head = prompter.max_length * CHARACTERS_A_TOKEN
    filled = [
        prompter.template.filled(query, beginning(text, head))
        for query, text in zip(queries, texts, strict=True)
    ]
    found = prompter.encoder.encode_batch([row.prompt for row in filled])
    for place, text in enumerate(texts):
        shorter = filled[place].text_stop - filled[place].text < len(text)
        if shorter and len(found[place]) <= prompter.max_length:
            filled[place] = prompter.template.filled(queries[place], text)
            found[place] = prompter.encoder.encode(filled[place].prompt)
    return [_cut(*row, prompter.max_length) for row in zip(found, filled, strict=True)]


def _cut(row: Any, filled: Filled, length: int) -> tuple[list[int], int]:
    """The ids of a prompt and how many stand before its query; no ids where they cannot be cut."""
    ids = np.array(row.ids, np.int32)
    starts, stops = np.array(row.offsets, np.int64).reshape(-1, 2).T
    own = np.array(row.special_tokens_mask, np.bool_)
    end = len(ids) - int(np.argmin(own[::-1])) if len(ids) and not own.all() else 0
    inside = (starts >= filled.text) & (stops <= filled.text_stop) & (stops > starts) & ~own
    keep = np.ones(len(ids), np.bool_)
    keep[end:] = False
    excess = end - length
    if excess > 0:
        droppable = np.flatnonzero(inside)
        if excess >= len(droppable):
            return [], 0
        keep[droppable[-excess:]] = False
    before = keep & ((stops <= filled.query) | own)
    return ids[keep].tolist(), int(np.count_nonzero(before))
