"""Texts to token ids, with the model's own tokenizer, prompt and length."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass as plain
from dataclasses import replace
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass

from operators import columns, digest
from operators.arrays import ragged_column
from operators.base import STRICT, Resources, Transform
from operators.contract import assign, extend, reject, require, without
from operators.errors import ModelError
from operators.model import Folder, Model, Role, prompts_of, resolve
from operators.text.ending import ended

CHARACTERS_A_CALL = 1 << 20
"""The tokenizer needs about 110 bytes for each."""
CHARACTERS_A_TOKEN = 16
"""A longer text is cut at that rate first, and tokenized whole if that fell short."""
_NOTHING = "no token is left of its text"


@dataclass(frozen=True, config=STRICT)
class Tokenize:
    """Replace `text` by `input_ids`, `n_tokens` and `truncated`."""

    name: ClassVar[str] = "tokenize"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = False
    of_text: ClassVar[bool] = True

    model: Model
    role: Role = "passage"
    prompt: str | None = None
    """Text put before every row; None is what the model's `prompts` say for the role."""
    max_length: Annotated[int, Field(ge=0)] = 0
    """Tokens a row may have, special tokens included; 0 is what the model says."""

    def bind(self, schema: pa.Schema) -> pa.Schema:
        require(self.name, schema, columns.TEXT)
        folder = resolve(self._model())
        ids = columns.input_ids(digest.of_file(folder.tokenizer))
        added = [ids, columns.N_TOKENS, columns.TRUNCATED]
        if self._leaves_prompt_out(folder):
            added.append(columns.PROMPT_TOKENS)
        return extend(without(schema, "text"), *added)

    @contextmanager
    def open(self, on: Resources = Resources()) -> Iterator[Transform]:  # noqa: B008 - frozen
        yield partial(_tokenize, self.tokenizer())

    def tokenizer(self) -> "Tokenizer":
        """The tokenizer set to this step's prompt and length; ModelError if that is too short."""
        folder = resolve(self._model())
        words = _words(folder, folder.ending, self.model.path)
        encoder = _limited(words, folder.max_length, folder.truncation_side)
        left_out = self._leaves_prompt_out(folder)
        prompts = [_measured(encoder, text, left_out) for text in self._prompts(folder)]
        shortest = prompts[-1]
        if folder.max_length <= shortest.alone:
            raise ModelError(
                self.model.path,
                f"{folder.max_length} tokens leave no room for a text after its prompt "
                f"{shortest.text!r}",
            )
        head = 0 if folder.truncation_side == "left" else folder.max_length * CHARACTERS_A_TOKEN
        return Tokenizer(encoder, tuple(prompts), head)

    def _model(self) -> Model:
        length = self.max_length or self.model.max_length
        return replace(self.model, max_length=length)

    def _prompts(self, folder: Folder) -> tuple[str, ...]:
        if self.prompt is not None:
            return (self.prompt,)
        return prompts_of(self.model, folder, self.role)

    def _leaves_prompt_out(self, folder: Folder) -> bool:
        pooling = folder.modules.pooling
        left_out = pooling is not None and not pooling.include_prompt
        return left_out and bool(self._prompts(folder)[0])


class Prompt(NamedTuple):
    """A text before every row, and what it comes to in tokens."""

    text: str
    alone: int
    """Tokens of a row of nothing else."""
    left_out: int
    """Leading tokens the pooling leaves out; -1 where it takes them all."""
    floor: int
    """Tokens a row has when its text gives none."""


@plain(frozen=True)
class Tokenizer:
    """A `tokenizers.Tokenizer` set up for one step."""

    encoder: Any
    prompts: tuple[Prompt, ...]
    """A row has the first that leaves all of its text room, or else the last."""
    head: int
    """Characters that surely fill the length; 0 where the end of a text is kept."""

    @property
    def floor(self) -> int:
        """Tokens that a row has after the last of the prompts when its text gives none."""
        return self.prompts[-1].floor


class Tokens(NamedTuple):
    """All rows' ids end to end, and of each row what became of it."""

    ids: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int32]
    truncated: npt.NDArray[np.bool_]
    """It lost tokens to the length."""
    empty: npt.NDArray[np.bool_]
    """No token is left of its text."""
    prompts: npt.NDArray[np.int32] | None
    """Leading tokens the pooling leaves out; None where it takes them all."""


class _Words(NamedTuple):
    """What decides the ids of a text; `model` is what an error names."""

    file: Path
    stamp: int
    lower_case: bool
    ending: str
    model: str


def load(folder: Folder) -> Any:
    """The folder's `tokenizers.Tokenizer` without truncation or padding."""
    return _read(_words(folder))


def complete(folder: Folder, model: str) -> Any:
    """`load` with the token that the model's `ending` puts behind every row where it did not."""
    return _read(_words(folder, folder.ending, model))


def loaded(folder: Folder) -> Any:
    """`load`, set to the folder's length, and kept for the units a process opens the step for."""
    return _limited(_words(folder), folder.max_length, folder.truncation_side)


def _words(folder: Folder, ending: str = "", model: str = "") -> _Words:
    stamp = folder.tokenizer.stat().st_mtime_ns
    return _Words(folder.tokenizer, stamp, folder.lower_case, ending, model)


@lru_cache(maxsize=8)
def _limited(words: _Words, length: int, side: str) -> Any:
    encoder = _read(words)
    encoder.enable_truncation(length, direction=side)
    return encoder


def _read(words: _Words) -> Any:
    from tokenizers import Tokenizer as Encoder
    from tokenizers import normalizers

    encoder = Encoder.from_file(str(words.file))
    encoder.no_padding()
    if words.ending and encoder.encode("a").tokens[-1:] != [words.ending]:
        encoder = Encoder.from_str(ended(words.file, words.ending, words.model))
    encoder.no_padding()
    encoder.no_truncation()
    if words.lower_case:
        own = [encoder.normalizer] if encoder.normalizer is not None else []
        encoder.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
    return encoder


def _measured(encoder: Any, text: str, left_out: bool) -> Prompt:
    specials = encoder.num_special_tokens_to_add(False)
    bare = encoder.encode(text)
    alone = len(bare.ids) if text else specials
    backwards = enumerate(reversed(bare.special_tokens_mask))
    trailing = next((place for place, own in backwards if not own), 0)
    leading = alone - trailing
    return Prompt(text, alone, leading if left_out else -1, alone if left_out else specials)


def encode(
    tokenizer: Tokenizer, texts: list[str]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """All rows' ids end to end, ids a row, and whether a row lost tokens to the length."""
    found = tokens(tokenizer, texts)
    return found.ids, found.lengths, found.truncated


def tokens(tokenizer: Tokenizer, texts: list[str]) -> Tokens:
    """Tokenize texts, each behind the first of the prompts that leaves all of it room."""
    ids: list[npt.NDArray[np.int32]] = []
    lengths = np.zeros(len(texts), np.int32)
    truncated = np.zeros(len(texts), np.bool_)
    chosen = np.zeros(len(texts), np.int32)
    for start, stop in calls(texts, CHARACTERS_A_CALL):
        found = _encode_call(tokenizer, texts[start:stop])
        lengths[start:stop] = [len(row) for row, _ in found]
        truncated[start:stop] = [bool(row.overflowing) for row, _ in found]
        chosen[start:stop] = [number for _, number in found]
        ids.append(np.fromiter(chain.from_iterable(row.ids for row, _ in found), np.int32))
    floors = np.array([prompt.floor for prompt in tokenizer.prompts], np.int32)[chosen]
    left_out = np.array([prompt.left_out for prompt in tokenizer.prompts], np.int32)
    prompts = left_out[chosen] if left_out[0] >= 0 else None
    whole = np.concatenate([np.zeros(0, np.int32), *ids])
    return Tokens(whole, lengths, truncated, lengths <= floors, prompts)


def _tokenize(tokenizer: Tokenizer, table: pa.Table) -> pa.Table:
    # A tokenizer takes Python strings only: the one place where text leaves Arrow.
    column: Any = table["text"].fill_null(pa.scalar(""))
    texts = list(column.to_numpy())
    found = tokens(tokenizer, texts)
    offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(found.lengths, dtype=np.int32)])
    out = table.drop_columns(["text"])
    out = assign(out, columns.INPUT_IDS, ragged_column(found.ids, offsets))
    out = assign(out, columns.N_TOKENS, pa.array(found.lengths))
    out = assign(out, columns.TRUNCATED, pa.array(found.truncated))
    if found.prompts is not None:
        out = assign(out, columns.PROMPT_TOKENS, pa.array(found.prompts))
    return reject(out, found.empty, _NOTHING)


def calls(texts: list[str], characters: int) -> Iterator[tuple[int, int]]:
    """Runs [start, stop) of texts of at most that many characters, a longer text alone."""
    start = size = 0
    for place, text in enumerate(texts):
        if size and size + len(text) > characters:
            yield start, place
            start, size = place, 0
        size += len(text)
    if start < len(texts):
        yield start, len(texts)


def _encode_call(tokenizer: Tokenizer, texts: list[str]) -> list[tuple[Any, int]]:
    """Each text's encoding, and the number of the prompt before it."""
    found: dict[int, tuple[Any, int]] = {}
    todo = list(range(len(texts)))
    for number in range(len(tokenizer.prompts)):
        rows = _encode_behind(tokenizer, number, [texts[place] for place in todo])
        found |= {place: (row, number) for place, row in zip(todo, rows, strict=True)}
        todo = [place for place in todo if found[place][0].overflowing]
    return [found[place] for place in range(len(texts))]


def _encode_behind(tokenizer: Tokenizer, number: int, texts: list[str]) -> list[Any]:
    prompt, encoder = tokenizer.prompts[number].text, tokenizer.encoder
    heads = [beginning(text, tokenizer.head) for text in texts]
    found: list[Any] = encoder.encode_batch_fast([prompt + text for text in heads])
    for place, (text, head) in enumerate(zip(texts, heads, strict=True)):
        if len(head) < len(text) and not found[place].overflowing:
            found[place] = encoder.encode_batch_fast([prompt + text])[0]
    return found


def beginning(text: str, characters: int) -> str:
    """The text up to a word's end near `characters`; all of it where it is shorter or has no words.

    Word pieces, byte pairs and sentence pieces do not cross from a word into the space after it,
    so the ids of a head that overflows the length are those of the whole text.
    """
    if not 0 < characters < len(text):
        return text
    cut = text.find(" ", characters)
    while 0 < cut < 2 * characters and text[cut - 1].isspace():
        cut = text.find(" ", cut + 1)
    return text[:cut] if 0 < cut < 2 * characters else text
