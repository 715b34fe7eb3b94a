"""The tokens of a vocabulary that are nothing but one mark of punctuation."""

import string

import numpy as np
import numpy.typing as npt

from operators.model import Folder
from operators.text.tokenizer import load

_AROUND = ("##", "▁", "Ġ", "</w>")
"""What tokenizers put at a token's ends to say whether a word goes on."""


def ids(folder: Folder) -> npt.NDArray[np.int32]:
    """Ids of the marks of ASCII punctuation, however the tokenizer writes them."""
    marks = frozenset(string.punctuation)
    known = vocabulary(folder).items()
    return np.array(sorted(number for token, number in known if bare(token) in marks), np.int32)


def bare(token: str) -> str:
    """A token without what says whether its word goes on; a token of nothing else as it is."""
    for part in _AROUND:
        token = token.removeprefix(part).removesuffix(part) or token
    return token


def vocabulary(folder: Folder) -> dict[str, int]:
    """Every token of the folder's tokenizer and its id."""
    found: dict[str, int] = load(folder).get_vocab(with_added_tokens=True)
    return found
