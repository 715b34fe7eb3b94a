"""A teacher that embeds query and document apart; the cosine of the two is the score."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.encode.shape import Shape, decide
from operators.encode.strategy import Engine, Precision
from operators.model import Folder, Model, resolve
from operators.teach.protocol import Marks, Scored, Scorer
from operators.text.tokenizer import Tokenize, Tokenizer, tokens

if TYPE_CHECKING:
    import torch

    from operators.encode.loop import Loop

_PAIRS = 4096
"""Pairs whose vectors are gathered at once."""
_NOTHING = "no token is left of its query or its text"


@dataclass(frozen=True)
class BiEncoder:
    """The cosine of the vectors that `encode` gives with the model's query and passage prompts."""

    options: ClassVar[frozenset[str]] = frozenset({"backend"})
    roles: ClassVar[frozenset[str]] = frozenset({"query", "passage"})

    model: Model
    precision: Precision = "fp32"
    backend: Engine = "torch"

    def check(self) -> None:
        self._shape(resolve(self.model))

    def scorer(self, device: "torch.device", budget: int) -> Scorer:
        from operators.encode import embedder, probe
        from operators.encode.device import token_budget
        from operators.encode.loop import Loop

        folder = resolve(self.model)
        shape = self._shape(folder)
        path = self.model.path
        network = embedder.build(folder, path, shape, self.precision, device, self.backend)
        probe.self_check(folder, shape, network)
        return _Scorer(
            Tokenize(self.model, role="query").tokenizer(),
            Tokenize(self.model, role="passage").tokenizer(),
            Loop(network, budget or token_budget(device, folder.width)),
        )

    def _shape(self, folder: Folder) -> Shape:
        return decide(folder, self.model.path, "auto", True)


@dataclass(frozen=True)
class _Scorer:
    queries: Tokenizer
    passages: Tokenizer
    loop: "Loop"

    def __call__(self, queries: pa.Array, texts: pa.Array) -> Scored:
        query, asked, no_query = self._embedded(self.queries, queries)
        passage, given, no_text = self._embedded(self.passages, texts)
        cosines = np.zeros(len(asked), np.float32)
        for start in range(0, len(asked), _PAIRS):
            part = slice(start, start + _PAIRS)
            cosines[part] = np.einsum("nd,nd->n", query[asked[part]], passage[given[part]])
        return Scored(cosines, no_query[asked] | no_text[given], _NOTHING)

    def _embedded(
        self, tokenizer: Tokenizer, column: pa.Array
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], Marks]:
        """The vector of each distinct text, which of them each row has, and which are empty."""
        from operators.encode.loop import Ragged

        coded = column.dictionary_encode()
        found = tokens(tokenizer, list(coded.dictionary.to_numpy(zero_copy_only=False)))
        offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(found.lengths, dtype=np.int32)])
        vectors = self.loop.encode_unit(Ragged(found.ids, offsets, found.prompts))
        return vectors, np.asarray(coded.indices, np.int64), found.empty
