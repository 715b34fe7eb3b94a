"""A collection that is searched, and how its parts answer as one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa

from operators.mine.pool import DOCUMENTS, Asked, Places, Scores
from operators.mine.ties import by_id
from operators.mine.topk import Hits, ranked
from operators.quantize.kernels import Rows

Ask = Callable[..., list[Any]]
"""`ask(method, *arguments)` calls a method of every part; the answers come in the parts' order."""


class Index(Protocol):
    """A collection that is searched; rows are numbered from 0 over all of its parts."""

    def __len__(self) -> int: ...

    def search(self, asked: Asked, k: int) -> Hits:
        """The k best rows of each query by (-score, id); row -1, score -inf where fewer."""
        ...

    def documents(self, rows: Rows) -> pa.Table:
        """DOCUMENTS of ascending unique rows, in their order."""
        ...

    def locate(self, ids: pa.Array) -> Rows:
        """The first row of each id, -1 where it is absent."""
        ...

    def children(self, parents: pa.Array) -> tuple[Rows, Places]:
        """Every row, ascending, whose parent_id is one of the distinct parents, and which it is."""
        ...

    def score(self, asked: Asked, query: Places, rows: Rows) -> Scores:
        """The exact score of each pair of an asked query's place and a row."""
        ...


class Part(Protocol):
    """A run of an index's rows; they keep the numbers that they have in the whole."""

    def size(self) -> int:
        """How many rows the part holds."""
        ...

    def search(self, asked: Asked, k: int) -> Hits:
        """The part's k best rows of each query by (-score, id); row -1, score -inf where fewer."""
        ...

    def documents(self, rows: Rows) -> pa.Table:
        """DOCUMENTS of those of the ascending unique rows that the part holds, in their order."""
        ...

    def locate(self, ids: pa.Array) -> Rows:
        """The part's first row of each id, -1 where it has none."""
        ...

    def children(self, parents: pa.Array) -> tuple[Rows, Places]:
        """Of the part's rows those whose parent_id is one of the parents, and which it is."""
        ...

    def score(self, asked: Asked, query: Places, rows: Rows) -> Scores:
        """The exact score of each pair, NaN where the part has not the row."""
        ...


@dataclass(frozen=True, eq=False)
class Parts:
    """An index of parts that lie elsewhere, in actors or in this process, reached through `ask`.

    The parts hold runs of rows that do not overlap, in ascending order. `rescored` > 0: the best
    `rescored` rows found, k if that is more, are scored again by `score` and ranked by that.
    """

    ask: Ask
    rescored: int = 0
    method: Literal["search", "exactly"] = "search"
    """How a part searches; `exactly` is a part's way around its approximate index."""

    def __len__(self) -> int:
        return sum(self.ask("size"))

    def search(self, asked: Asked, k: int) -> Hits:
        wanted = max(k, self.rescored)
        found: list[Hits] = self.ask(self.method, asked, wanted)
        best = by_id(_joined(found), self.documents, wanted)
        return by_id(self._rescored(asked, best), self.documents, k) if self.rescored else best

    def documents(self, rows: Rows) -> pa.Table:
        return pa.concat_tables([DOCUMENTS.empty_table(), *self.ask("documents", rows)])

    def locate(self, ids: pa.Array) -> Rows:
        absent = np.iinfo(np.int64).max
        found = [np.where(rows < 0, absent, rows) for rows in self.ask("locate", ids)]
        least: Rows = np.minimum.reduce(found)
        return np.where(least == absent, -1, least)

    def children(self, parents: pa.Array) -> tuple[Rows, Places]:
        rows, owners = zip(*self.ask("children", parents), strict=True)
        return np.concatenate(rows), np.concatenate(owners)

    def score(self, asked: Asked, query: Places, rows: Rows) -> Scores:
        found: Scores = np.fmax.reduce(self.ask("score", asked, query, rows))
        return found

    def _rescored(self, asked: Asked, found: Hits) -> Hits:
        query, place = np.nonzero(found.rows >= 0)
        scores = np.full(found.rows.shape, -np.inf, np.float32)
        scores[query, place] = self.score(asked, query, found.rows[query, place])
        return ranked(scores, found.rows, found.rows.shape[1])


def _joined(found: list[Hits]) -> Hits:
    """All hits of all parts by descending score."""
    scores, rows = (np.concatenate(each, axis=1) for each in zip(*found, strict=True))
    order = np.argsort(-scores, axis=1, kind="stable")
    return Hits(np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1))
