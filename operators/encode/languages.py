"""Which language adapters of a model a row goes through: a number for each row."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.errors import ModelError
from operators.model import Folder

NONE = "none"


class Numbered(NamedTuple):
    """The adapter of each row by its number, and why a row has none, else null."""

    numbers: npt.NDArray[np.int32]
    unknown: pa.Array


def check(folder: Folder, model: str, language: str, named: Mapping[str, str]) -> None:
    """ModelError where the adapters that a config names are not the model's."""
    own = _own(folder)
    if not own and language != NONE:
        raise ModelError(model, "has no language adapters; say language: none")
    if own and language == NONE:
        raise ModelError(model, f"has adapters of {len(own)} languages; name one, or have a column")
    wanted = [*named.values(), *([language] if language and language != NONE else [])]
    lacking = [each for each in wanted if each not in own]
    if lacking:
        some = ", ".join(own[:6]) + (", …" if len(own) > 6 else "")
        raise ModelError(model, f"has no adapters of {lacking[0]!r}; it has {some}")


def alike(folder: Folder, language: str, rows: int) -> Numbered:
    """The same adapters for all rows; the first for a model that has none."""
    own = _own(folder)
    number = own.index(language) if language in own else 0
    return Numbered(np.full(rows, number, np.int32), pa.nulls(rows, pa.string()))


def numbered(folder: Folder, column: pa.Array, named: Mapping[str, str]) -> Numbered:
    """By a column: as the config names it, else by the whole code, else by its only beginning.

    `de` is de_DE where no other code begins with `de_`.
    """
    coded: Any = column.dictionary_encode()
    words: list[str | None] = coded.dictionary.to_pylist()
    numbers = np.array([_number(_own(folder), word, named) for word in words] + [-1], np.int32)
    places = coded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
    found = numbers[places]
    texts = [f"its language {word!r} has no adapters; map it under languages" for word in words]
    told = np.array([*texts, "its language is not said"], np.object_)[places]
    return Numbered(np.maximum(found, 0), pa.array(told, pa.string(), mask=found >= 0))


def _number(own: list[str], word: str | None, named: Mapping[str, str]) -> int:
    if not word:
        return -1
    code = named.get(word, word)
    begun = [each for each in own if each.startswith(f"{code}_")]
    if code in own:
        return own.index(code)
    return own.index(begun[0]) if len(begun) == 1 else -1


def _own(folder: Folder) -> list[str]:
    return [str(each) for each in folder.config.get("languages") or ()]
