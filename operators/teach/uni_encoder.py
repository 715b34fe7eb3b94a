"""A teacher that reads a query once, with several of its candidates in the same pass."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.encode.strategy import Precision
from operators.errors import ModelError
from operators.model import Folder, Model, resolve
from operators.teach.layouts import WHOLE, Layout
from operators.teach.protocol import Scored, Scorer
from operators.text.tokenizer import Tokenize, Tokenizer, encode

if TYPE_CHECKING:
    import torch

    from operators.encode.loop import Loop
    from operators.teach.segments import Segments

Ids = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]

PACK = 1024
"""Tokens of a pass that takes further candidates; attention grows with their square."""
MOST = 16 * PACK
"""Tokens of a list that is scored whole; its masks alone are 7 bytes for their square, 1.9 GB."""
_LEAST = 8
_HEAD = ("fc.weight", "fc.bias")
_TOO_LONG = (
    f"the list of its query has more than {MOST:,} tokens; mine fewer negatives, or take layout "
    "isolated"
)


@dataclass(frozen=True)
class UniEncoder:
    """w x mean state of a candidate + b, all candidates of a query at the same places.

    Takes BERT folders with the head `fc` of the released models; under `diag`, where a candidate
    does not see the query, any BERT: the logit is the dot product of both mean states (ours). A
    query may have half of the model's length, a candidate what the query leaves (arXiv
    2106.01263).
    """

    options: ClassVar[frozenset[str]] = frozenset({"layout"})
    roles: ClassVar[frozenset[str]] = frozenset()

    model: Model
    precision: Precision = "fp32"
    layout: Layout = "isolated"

    def check(self) -> None:
        folder = resolve(self.model)
        path = self.model.path
        if folder.model_type != "bert" or folder.config.get("type_vocab_size", 2) < 2:
            found = folder.architecture or folder.model_type or "a model of no known type"
            raise ModelError(path, f"is {found}; uni-encoder needs a BERT with two token types")
        if folder.max_length < _LEAST:
            problem = f"{folder.max_length} tokens hold no query beside a candidate"
            raise ModelError(path, f"{problem}; give it {_LEAST} or more")
        if self.layout != "diag":
            shapes = _shapes(folder)
            if [shapes.get(name) for name in _HEAD] != [(1, folder.width), (1,)]:
                problem = f"has no head fc.weight (1, {folder.width}) and fc.bias (1)"
                raise ModelError(path, f"{problem}; layout diag needs none")

    def scorer(self, device: "torch.device", budget: int) -> Scorer:
        from operators.encode.device import token_budget
        from operators.encode.loop import Loop
        from operators.teach import uni_check
        from operators.teach.segments import Segments

        folder = resolve(self.model)
        tokenizer = Tokenize(self.model, prompt="").tokenizer()
        uni_check.check_tokenizer(folder, self.model.path, tokenizer)
        network, head = uni_check.load(
            folder, self.model.path, self.precision, device, headless=self.layout == "diag"
        )
        words = int(folder.config["vocab_size"])
        pad = int(folder.config.get("pad_token_id") or 0)
        forward = Segments(self.model.path, network, device, pad, words, self.layout, head)
        left = folder.truncation_side == "left"
        loop = Loop(forward, budget or token_budget(device, folder.width))
        scorer = Packer(tokenizer, folder.max_length, left, loop, forward)
        uni_check.check(folder, scorer, self.precision)
        return scorer


@dataclass(frozen=True)
class Packer:
    """Scores pairs; those of a list share passes, all of them one pass where a layout is WHOLE.

    A list is what `lists` holds the same value for, else a query. Which pairs it is given together
    changes nothing otherwise.
    """

    tokenizer: Tokenizer
    length: int
    left: bool
    """A text that is too long keeps its end."""
    loop: "Loop"
    forward: "Segments"

    def __call__(self, queries: pa.Array, texts: pa.Array, lists: pa.Array | None = None) -> Scored:
        from operators.encode.loop import Ragged

        logits, unfit = np.zeros(len(queries), np.float32), np.zeros(len(queries), np.bool_)
        packs: list[tuple[Ids, Rows]] = []
        for ids, members in self._packs(queries, texts, queries if lists is None else lists):
            if self.forward.layout in WHOLE and len(ids) > MOST:
                unfit[members] = True
            else:
                packs.append((ids, members))
        if packs:
            rows = [ids for ids, _ in packs]
            offsets = np.cumsum([0, *(len(ids) for ids in rows)]).astype(np.int32)
            most = max(len(members) for _, members in packs)
            self.loop.forward = replace(self.forward, dim=most)
            found = self.loop.encode_unit(Ragged(np.concatenate(rows), offsets))
            for place, (_, members) in enumerate(packs):
                logits[members] = found[place, : len(members)]
        return Scored(logits, unfit, _TOO_LONG)

    def _packs(
        self, queries: pa.Array, texts: pa.Array, lists: pa.Array
    ) -> Iterator[tuple[Ids, Rows]]:
        """The ids of each pass, `segment x words + token`, and the pairs whose texts it has."""
        coded = queries.dictionary_encode()
        query = np.asarray(coded.indices, np.int64)
        asked = self._tokens(coded.dictionary)
        given = self._tokens(texts)
        for members in _groups(lists):
            first = self._cut(asked[query[members[0]]], self.length // 2)
            room = self.length - len(first)
            candidates = [self._cut(given[member], room) for member in members]
            for start, stop in self._runs(len(first), [len(each) for each in candidates]):
                yield self._joined(first, candidates[start:stop]), members[start:stop]

    def _joined(self, query: Ids, candidates: list[Ids]) -> Ids:
        words = np.int32(self.forward.words)
        parts = [query, *(each + words * place for place, each in enumerate(candidates, 1))]
        return np.concatenate(parts).astype(np.int32)

    def _runs(self, query: int, lengths: list[int]) -> Iterator[tuple[int, int]]:
        """Runs of candidates that share a pass."""
        if self.forward.layout in WHOLE:
            yield 0, len(lengths)
            return
        start, size = 0, query
        for place, length in enumerate(lengths):
            if place > start and size + length > PACK:
                yield start, place
                start, size = place, query
            size += length
        yield start, len(lengths)

    def _tokens(self, texts: pa.Array) -> list[Ids]:
        ids, lengths, _ = encode(self.tokenizer, list(texts.to_numpy(zero_copy_only=False)))
        return np.split(ids, np.cumsum(lengths)[:-1]) if len(lengths) else []

    def _cut(self, ids: Ids, room: int) -> Ids:
        """At most `room` ids, the special ones at both ends among them."""
        if len(ids) <= room:
            return ids
        if self.left:
            return np.concatenate([ids[:1], ids[len(ids) - room + 1 :]])
        return np.concatenate([ids[: room - 1], ids[-1:]])


def _groups(lists: pa.Array) -> list[Rows]:
    """The places of each value, in the order they come."""
    numbers = np.asarray(lists.dictionary_encode().indices, np.int64)
    order = np.argsort(numbers, kind="stable")
    first = np.unique(numbers[order], return_index=True)[1]
    return np.split(order, first[1:]) if len(first) else []


def _shapes(folder: Folder) -> dict[str, tuple[int, ...]]:
    """The shapes of the head's tensors that the weight files have."""
    from safetensors import safe_open

    found = {}
    for file in folder.weights:
        with safe_open(file, framework="numpy") as weights:
            for name in _HEAD:
                if name in weights.keys():  # noqa: SIM118 - it is no mapping
                    found[name] = tuple(weights.get_slice(name).get_shape())
    return found
