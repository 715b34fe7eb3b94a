"""A teacher that compares the tokens of a query with those of a text: a ColBERT's late score."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators import columns
from operators.encode.colbert_xm import ColbertXm
from operators.encode.shape import decide
from operators.encode.strategy import Opening
from operators.model import Model, Role, resolve
from operators.teach.protocol import Marks, Scored, Scorer
from operators.text.tokenizer import Tokenize, Tokenizer, encode

if TYPE_CHECKING:
    import torch

    from operators.encode.loop import Loop
    from operators.encode.strategy import Precision
    from operators.encode.token_vectors import Collected

_NOTHING = "no token is left of its query or its text"


@dataclass(frozen=True)
class MaxSim:
    """The sum over a query's token vectors of the nearest of the text's, as `colbert-xm` has them.

    From 0 to 32 for the 32 tokens of a query; no cross-encoder is needed.
    """

    options: ClassVar[frozenset[str]] = frozenset({"language"})
    roles: ClassVar[frozenset[str]] = frozenset({"query", "passage"})

    model: Model
    precision: "Precision" = "fp32"
    language: str = "none"

    def check(self) -> None:
        folder = resolve(self.model)
        shape = decide(folder, self.model.path, "auto", True)
        for role in ("query", "passage"):
            self._strategy(role).fields(folder, self.model.path, shape)

    def scorer(self, device: "torch.device", budget: int) -> Scorer:
        from operators.encode import probe, token_vectors
        from operators.encode.loop import Loop

        folder, path = resolve(self.model), self.model.path
        shape = decide(folder, path, "auto", True)
        opening = Opening(folder, path, shape, self.precision, device, "torch", budget)
        network = token_vectors.opened(opening, adapters=self.language != "none")
        probe.check_vectors(folder, token_vectors.Mean(network))
        loop = Loop(network, opening.budget)
        sides = (
            _Side(Tokenize(self.model, role=role).tokenizer(), self._strategy(role), opening, loop)
            for role in ("query", "passage")
        )
        return _Scorer(*sides)

    def _strategy(self, role: Role) -> ColbertXm:
        return ColbertXm(role=role, language=self.language)


@dataclass(frozen=True)
class _Side:
    """Token vectors of texts in one role."""

    tokenizer: Tokenizer
    strategy: ColbertXm
    opening: Opening
    loop: "Loop"

    def __call__(self, column: pa.Array) -> tuple["Collected", npt.NDArray[np.int64], Marks]:
        """The vectors of each distinct text, which of them each row has, and which are empty."""
        from operators.encode.loop import Ragged

        coded = column.dictionary_encode()
        texts = list(coded.dictionary.to_numpy(zero_copy_only=False))
        ids, lengths, cut = encode(self.tokenizer, texts)
        offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
        table = pa.table({columns.TRUNCATED.name: cut})
        found, *_ = self.strategy.collected(self.opening, self.loop, Ragged(ids, offsets), table)
        return found, np.asarray(coded.indices, np.int64), lengths <= self.tokenizer.floor


@dataclass(frozen=True)
class _Scorer:
    queries: _Side
    passages: _Side

    def __call__(self, queries: pa.Array, texts: pa.Array) -> Scored:
        from operators.quantize.maxsim import maxsim

        query, asked, no_query = self.queries(queries)
        passage, given, no_text = self.passages(texts)
        pairs = zip(map(int, asked), map(int, given), strict=True)
        logits = [maxsim(query.of(one), passage.of(other)) for one, other in pairs]
        return Scored(np.array(logits, np.float32), no_query[asked] | no_text[given], _NOTHING)
