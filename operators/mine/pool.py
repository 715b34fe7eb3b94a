"""Documents proposed for queries: the one shape that search, rules and selection share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from operators import columns
from operators.arrays import whole
from operators.mine.runs import Runs
from operators.quantize.kernels import Matrix

pc: Any = pyarrow.compute  # the stubs do not know every function

Places = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]
Marks = npt.NDArray[np.bool_]

DOCUMENTS = pa.schema(
    (
        columns.ID,
        columns.CONTENT_HASH,
        columns.PARENT_ID,
        columns.SOURCE_FILE,
        columns.SOURCE_ROW,
        columns.KIND,
    )
)
"""What is known of a document; `parent_id` is null where the corpus is not chunked.

`kind` is null where the table keeps none.
"""


def found_among(column: pa.ChunkedArray, values: pa.Array) -> tuple[Places, Places]:
    """The places in a column of what is one of the values, ascending, and which value it is."""
    which = whole(pc.index_in(column, value_set=values))
    places: Places = np.flatnonzero(which.is_valid())
    return places, which.drop_null().to_numpy().astype(np.int64)


@dataclass(frozen=True, eq=False)
class Asked:
    """The queries of a unit, as each kind of search wants them; all columns have q rows."""

    ids: pa.Array
    hashes: pa.Array
    """content_hash of each query's text."""
    matrix: Matrix | None = None
    """(q, dim) vectors."""
    texts: Sequence[str] | None = None
    terms: Runs | None = None
    """Sparse vectors: ascending ids, and their weights."""
    tokens: Runs | None = None
    """(n, dim) token vectors."""

    def __len__(self) -> int:
        return len(self.ids)


class Pairs(NamedTuple):
    """(query, document) pairs, by query ascending; documents are rows of a pool's table."""

    query: Places
    document: Places
    score: Scores
    """By the pool's own measure; NaN where there is none."""


@dataclass(frozen=True, eq=False)
class Pool:
    """Candidates of all queries of a unit, ragged: ascending by query, then by rank."""

    queries: int
    query: Places
    document: Places
    """Row of `documents`."""
    score: Scores
    """By the first dense source, also for what another source proposed; NaN if it has no vector."""
    rank: Places
    """Place among the query's candidates after fusion, 0 is the nearest."""
    sources: Places
    """Bit i: proposed by source i; 0: drawn at random to fill up."""
    documents: pa.Table
    """Each document once, DOCUMENTS; holds the judged ones too."""

    def __len__(self) -> int:
        return len(self.query)

    def only(self, kept: Marks) -> "Pool":
        """The marked candidates, in their order and with the ranks they had."""
        return replace(
            self,
            query=self.query[kept],
            document=self.document[kept],
            score=self.score[kept],
            rank=self.rank[kept],
            sources=self.sources[kept],
        )
