"""Sparse vectors as a strategy stores them: heaviest words of a vocabulary and their weights."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators import columns
from operators.arrays import ragged_column
from operators.errors import ModelError
from operators.model import Folder

_EXACT = 1 << 24
"""Ids below it pass unchanged through float32."""


def vocabulary(folder: Folder, model: str, k: int, kind: str) -> int:
    """Words of a masked language model's vocabulary; ModelError where it is none, or too small."""
    if not folder.architecture.endswith("ForMaskedLM"):
        found = folder.architecture or "a model without a head"
        raise ModelError(model, f"is {found}; strategy {kind} needs a …ForMaskedLM and its head")
    words = int(folder.config.get("vocab_size") or 0)
    if not k <= words < _EXACT:
        raise ModelError(model, f"has a vocabulary of {words} words, and top_k is {k}")
    return words


def sparse_columns(
    ids: npt.NDArray[np.int32], weights: npt.NDArray[np.float32], words: int, least: float
) -> list[tuple[pa.Field, pa.Array]]:
    """The two columns of (n, k) ascending ids and weights, those above `least` alone.

    Where all are above it, nothing is copied.
    """
    kept = weights > least
    ends = np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int32)
    values = (ids.reshape(-1), weights.reshape(-1)) if kept.all() else (ids[kept], weights[kept])
    fields = columns.lexical(words)
    return [(field, ragged_column(each, ends)) for field, each in zip(fields, values, strict=True)]
