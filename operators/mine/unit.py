"""A unit of queries before it is mined: what is judged, what has vectors, what is put aside."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from operators import columns
from operators.arrays import whole
from operators.contract import conform
from operators.mine.index import Index
from operators.mine.looks import Looked
from operators.mine.negatives import NEGATIVES
from operators.mine.pool import Asked, Marks, Places, Scores
from operators.mine.qrels import Qrels
from operators.text.fetch import fetch

if TYPE_CHECKING:
    from operators.mine.mine import Mine

pc: Any = pyarrow.compute  # the stubs do not know every function


@dataclass(frozen=True, eq=False)
class Judged:
    """Judged pairs of a unit's queries, ascending by query."""

    query: Places
    """Place of the query in the unit."""
    row: Places
    """Row of the document in the first index, -1 where it is not there."""
    grade: Scores
    relevant: Marks

    def only(self, kept: Marks) -> "Judged":
        """The pairs of the marked queries, which are counted anew."""
        here = kept[self.query]
        place = np.cumsum(kept) - 1
        return Judged(
            place[self.query[here]], self.row[here], self.grade[here], self.relevant[here]
        )

    @property
    def positive(self) -> Marks:
        """Relevant, and in the index."""
        marks: Marks = self.relevant & (self.row >= 0)
        return marks

    @property
    def other(self) -> Marks:
        """Judged otherwise, and in the index."""
        marks: Marks = ~self.relevant & (self.row >= 0)
        return marks

    @property
    def missing(self) -> Marks:
        """Relevant, but not in the index."""
        marks: Marks = self.relevant & (self.row < 0)
        return marks


def judged(qrels: Qrels, pairs: pa.Table, table: pa.Table, index: Index) -> Judged:
    """The judgments of a unit's queries, each document located once."""
    place = pc.index_in(pairs["query_id"], whole(table["id"]))
    known = pairs.filter(place.is_valid())
    query = place.drop_null().to_numpy().astype(np.int64)
    ids = pc.unique(known["doc_id"])
    row = np.append(index.locate(ids), -1)
    document = pc.index_in(known["doc_id"], ids).to_numpy().astype(np.int64)
    order = np.argsort(query, kind="stable")
    grade = known["relevance"].to_numpy().astype(np.float32)
    return Judged(
        query[order], row[document][order], grade[order], (grade >= qrels.relevant)[order]
    )


def parted(table: pa.Table, good: Any, reason: str) -> tuple[pa.Table, list[pa.Table]]:
    """The good rows, and the others with their reason, if there are any."""
    marks = np.asarray(good, np.bool_)
    if marks.all():
        return table, []
    return table.filter(pa.array(marks)), [_told(table.filter(pa.array(~marks)), reason)]


def joined(found: pa.Table, aside: list[pa.Table]) -> pa.Table:
    """NEGATIVES and `error`, the rows put aside last."""
    schema = NEGATIVES.append(columns.ERROR)
    return pa.concat_tables([conform(each, schema) for each in (found, *aside)])


def texts(mine: "Mine", table: pa.Table) -> list[str]:
    """The texts of a unit's queries, from its own rows or fetched from where they lie."""
    if columns.TEXT.name in table.column_names:
        return list(table[columns.TEXT.name].to_numpy(zero_copy_only=False))
    assert mine.queries is not None
    names = (columns.SOURCE_FILE, columns.SOURCE_ROW, columns.CONTENT_HASH)
    file, row, digest = (whole(table[name.name]) for name in names)
    return list(fetch(mine.queries, file, row, digest).to_numpy(zero_copy_only=False))


def asked(mine: "Mine", table: pa.Table, looked: Sequence[Looked]) -> list[Asked]:
    """The queries as each source wants them, in the order of the sources."""
    ids, hashes = whole(table["id"]), whole(table["content_hash"])
    every = [Asked(ids, hashes, each.matrix, None, each.terms, each.tokens) for each in looked]
    if mine.bm25 is not None:
        every.append(Asked(ids, hashes, None, texts(mine, table)))
    return every


def _told(table: pa.Table, reason: str) -> pa.Table:
    names = [columns.ID.name, columns.SOURCE_FILE.name, columns.SOURCE_ROW.name]
    reasons = pa.array([reason] * len(table), columns.ERROR.type)
    return table.select(names).append_column(columns.ERROR, reasons)
