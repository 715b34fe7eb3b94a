"""What a part of an index that stays in memory knows of its rows: a run of the whole's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from operators.mine.pool import DOCUMENTS, Marks, Places, Scores, found_among
from operators.mine.ties import ranks
from operators.mine.topk import Hits
from operators.quantize.kernels import Rows

pc: Any = pyarrow.compute  # the stubs do not know every function


@dataclass(frozen=True, eq=False)
class Held:
    """DOCUMENTS of rows [first_row, first_row + n), and the order of their ids."""

    kept: pa.Table
    by_id: Places
    """The place of each document in the order of ids."""
    first_row: int

    @classmethod
    def of(cls, documents: list[pa.Table], first_row: int) -> "Held":
        """The rows of tables of DOCUMENTS, one after the other."""
        kept = pa.concat_tables([DOCUMENTS.empty_table(), *documents]).combine_chunks()
        return cls(kept, ranks(kept["id"]), first_row)

    def __len__(self) -> int:
        return len(self.kept)

    def documents(self, rows: Rows) -> pa.Table:
        """DOCUMENTS of those of the ascending unique rows that are here, in their order."""
        return self.kept.take(rows[self.holds(rows)] - self.first_row)

    def locate(self, ids: pa.Array) -> Rows:
        """The row of each id, -1 where it is not here."""
        found = pc.index_in(ids, self.kept["id"])
        rows: Rows = pc.fill_null(pc.add(pc.cast(found, pa.int64()), self.first_row), -1).to_numpy()
        return rows

    def children(self, parents: pa.Array) -> tuple[Rows, Places]:
        """The rows whose parent_id is one of the parents, and which it is."""
        places, owner = found_among(self.kept["parent_id"], parents)
        return places + self.first_row, owner

    def holds(self, rows: Rows) -> Marks:
        """Which rows are here."""
        marks: Marks = (rows >= self.first_row) & (rows < self.first_row + len(self.kept))
        return marks

    def by_query(self, query: Places, rows: Rows) -> Iterator[tuple[int, Places]]:
        """Each query that has a pair with a row that is here, and the places of those pairs."""
        here = np.flatnonzero(self.holds(rows))
        here = here[np.argsort(query[here], kind="stable")]
        wanted, first = np.unique(query[here], return_index=True)
        yield from zip(map(int, wanted), np.split(here, first[1:]), strict=True)

    def hits(self, found: Sequence[tuple[Places, Scores]], k: int) -> Hits:
        """The k best of each query's places and their scores, by (-score, id)."""
        scores = np.full((len(found), k), -np.inf, np.float32)
        rows = np.full((len(found), k), -1, np.int64)
        for query, (places, values) in enumerate(found):
            best = np.lexsort((self.by_id[places], -values))[:k]
            scores[query, : len(best)] = values[best]
            rows[query, : len(best)] = places[best] + self.first_row
        return Hits(scores, rows)


def nearest(scores: Scores, k: int, slack: float = 0.0) -> Places:
    """The places of the k highest scores, and of all that lie at most `slack` below them."""
    if len(scores) <= k:
        return np.arange(len(scores))
    floor = np.partition(scores, len(scores) - k)[len(scores) - k] - slack
    return np.flatnonzero(scores >= floor)
