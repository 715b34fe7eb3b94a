"""`mine_hard_negatives` of sentence-transformers over vectors that are there already."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Found = dict[str, dict[str, float]]
"""Negatives of each query by their texts, with scores; the positive is not among them."""


@dataclass(frozen=True)
class Cached:
    """What `mine_hard_negatives` asks of a model, its vectors looked up and not computed.

    It stands in place of the peer's `cache_folder`, whose files it would load and name by a digest
    of all texts; the similarity is the peer's own cosine, as of a model that names none.
    """

    document: Callable[[Sequence[str]], Vectors]
    query: Callable[[Sequence[str]], Vectors]
    dim: int

    @property
    def device(self) -> Any:
        import torch

        return torch.device("cpu")

    def get_embedding_dimension(self) -> int:
        return self.dim

    def encode_document(self, texts: Sequence[str], **asked: Any) -> Vectors:
        return self.document(texts)

    def encode_query(self, texts: Sequence[str], **asked: Any) -> Vectors:
        return self.query(texts)

    def similarity(self, one: Any, other: Any) -> Any:
        from sentence_transformers.util import cos_sim

        return cos_sim(one, other)

    def similarity_pairwise(self, one: Any, other: Any) -> Any:
        from sentence_transformers.util import pairwise_cos_sim

        return pairwise_cos_sim(one, other)


def by_text(texts: Sequence[str], vectors: Vectors) -> Callable[[Sequence[str]], Vectors]:
    """Looks up the vectors of texts; of texts that are equal, the first one's."""
    rows = {text: row for row, text in reversed(list(enumerate(texts)))}
    return lambda asked: vectors[[rows[text] for text in asked]]


def grouped(mined: Any) -> Found:
    """The negatives of a `labeled-list` data set with scores, by query."""
    found: Found = {}
    for query, texts, scores in zip(*(mined[name] for name in mined.column_names), strict=True):
        found.setdefault(query, {}).update(zip(texts[1:], scores[1:], strict=True))
    return found


def equal(one: Mapping[str, float], other: Mapping[str, float], limit: float) -> bool:
    """Whether two queries' negatives are the same, ties aside.

    What only one has must score as its least negative, or as the margin's `limit`, to 1e-5.
    """
    least = {limit, min(one.values(), default=limit), min(other.values(), default=limit)}
    apart = [
        *(score for text, score in one.items() if text not in other),
        *(score for text, score in other.items() if text not in one),
    ]
    return all(min(abs(score - each) for each in least) < 1e-5 for score in apart)
