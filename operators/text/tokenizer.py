"""Texts to token ids, with the model's own tokenizer, prompt and length."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass as plain
from dataclasses import replace
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, ClassVar

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
from operators.model import Folder, Model, Role, prompt_of, resolve

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
        prompt = self._prompt(folder)
        encoder = loaded(folder)
        specials = encoder.num_special_tokens_to_add(False)
        bare = encoder.encode(prompt)
        leading = len(bare.ids) - (1 if bare.ids and bare.special_tokens_mask[-1] else 0)
        if folder.max_length <= (len(bare.ids) if prompt else specials):
            raise ModelError(
                self.model.path,
                f"{folder.max_length} tokens leave no room for a text after its prompt {prompt!r}",
            )
        left_out = self._leaves_prompt_out(folder)
        return Tokenizer(
            encoder,
            prompt,
            leading if left_out else -1,
            floor=len(bare.ids) if left_out else specials,
            head=0 if folder.truncation_side == "left" else folder.max_length * CHARACTERS_A_TOKEN,
        )

    def _model(self) -> Model:
        length = self.max_length or self.model.max_length
        return replace(self.model, max_length=length)

    def _prompt(self, folder: Folder) -> str:
        return prompt_of(self.model, folder, self.role) if self.prompt is None else self.prompt

    def _leaves_prompt_out(self, folder: Folder) -> bool:
        pooling = folder.modules.pooling
        return pooling is not None and not pooling.include_prompt and bool(self._prompt(folder))


@plain(frozen=True)
class Tokenizer:
    """A `tokenizers.Tokenizer` set up for one step."""

    encoder: Any
    prompt: str
    prompt_tokens: int
    """Leading tokens the pooling leaves out; -1 where it takes them all."""
    floor: int
    """Tokens a row has when its text gives none."""
    head: int
    """Characters that surely fill the length; 0 where the end of a text is kept."""


def load(folder: Folder) -> Any:
    """The folder's `tokenizers.Tokenizer` without truncation or padding."""
    return _load(folder.tokenizer, folder.lower_case)


def _load(file: Path, lower_case: bool) -> Any:
    from tokenizers import Tokenizer as Encoder
    from tokenizers import normalizers

    encoder = Encoder.from_file(str(file))
    encoder.no_padding()
    encoder.no_truncation()
    if lower_case:
        own = [encoder.normalizer] if encoder.normalizer is not None else []
        encoder.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
    return encoder


def loaded(folder: Folder) -> Any:
    """`load`, set to the folder's length, and kept for the units a process opens the step for."""
    stamp = folder.tokenizer.stat().st_mtime_ns
    return _load_once(
        folder.tokenizer, stamp, folder.lower_case, folder.max_length, folder.truncation_side
    )


@lru_cache(maxsize=8)
def _load_once(file: Path, stamp: int, lower_case: bool, length: int, side: str) -> Any:
    encoder = _load(file, lower_case)
    encoder.enable_truncation(length, direction=side)
    return encoder


def encode(
    tokenizer: Tokenizer, texts: list[str]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """All rows' ids end to end, ids a row, and whether a row lost tokens to the length."""
    ids: list[npt.NDArray[np.int32]] = []
    lengths = np.zeros(len(texts), np.int32)
    truncated = np.zeros(len(texts), np.bool_)
    for start, stop in calls(texts, CHARACTERS_A_CALL):
        found = _encode_call(tokenizer, texts[start:stop])
        lengths[start:stop] = [len(row) for row in found]
        truncated[start:stop] = [bool(row.overflowing) for row in found]
        ids.append(np.fromiter(chain.from_iterable(row.ids for row in found), np.int32))
    return np.concatenate([np.zeros(0, np.int32), *ids]), lengths, truncated


def _tokenize(tokenizer: Tokenizer, table: pa.Table) -> pa.Table:
    # A tokenizer takes Python strings only: the one place where text leaves Arrow.
    column: Any = table["text"].fill_null(pa.scalar(""))
    texts = list(column.to_numpy())
    ids, lengths, truncated = encode(tokenizer, texts)
    offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
    out = table.drop_columns(["text"])
    out = assign(out, columns.INPUT_IDS, ragged_column(ids, offsets))
    out = assign(out, columns.N_TOKENS, pa.array(lengths))
    out = assign(out, columns.TRUNCATED, pa.array(truncated))
    if tokenizer.prompt_tokens >= 0:
        out = assign(
            out,
            columns.PROMPT_TOKENS,
            pa.repeat(pa.scalar(tokenizer.prompt_tokens, pa.int32()), len(out)),
        )
    return reject(out, lengths <= tokenizer.floor, _NOTHING)


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


def _encode_call(tokenizer: Tokenizer, texts: list[str]) -> list[Any]:
    heads = [beginning(text, tokenizer.head) for text in texts]
    found: list[Any] = tokenizer.encoder.encode_batch_fast(
        [tokenizer.prompt + text for text in heads]
    )
    for place, (text, head) in enumerate(zip(texts, heads, strict=True)):
        if len(head) < len(text) and not found[place].overflowing:
            found[place] = tokenizer.encoder.encode_batch_fast([tokenizer.prompt + text])[0]
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
