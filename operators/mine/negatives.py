"""The table of mined negatives: one row a query, ragged lists in step with each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators import columns
from operators.arrays import ragged_column, whole
from operators.mine.audit import AUDIT
from operators.mine.fuse import proposers
from operators.mine.pool import Asked, Pairs, Places, Pool

_STRINGS = pa.list_(pa.string())
_FLOATS = pa.list_(pa.float32())
_INTS = pa.list_(pa.int32())
_HASHES = pa.list_(pa.binary())
_ROWS = pa.list_(pa.int64())

QUERY = pa.schema(
    (
        columns.ID,
        columns.QUERY_ID,
        columns.CONTENT_HASH,
        columns.SOURCE_FILE,
        columns.SOURCE_ROW,
    )
)
"""Both ids are the query's; hash and place are of its text."""
LISTS = pa.schema(
    (
        pa.field("positive_ids", _STRINGS),
        pa.field("positive_scores", _FLOATS),
        pa.field("positive_hashes", _HASHES),
        pa.field("positive_files", _STRINGS),
        pa.field("positive_rows", _ROWS),
        pa.field("negative_ids", _STRINGS),
        pa.field("negative_scores", _FLOATS),
        pa.field("negative_hashes", _HASHES),
        pa.field("negative_files", _STRINGS),
        pa.field("negative_rows", _ROWS),
        pa.field("negative_ranks", _INTS),
        pa.field("sources", _STRINGS),
        pa.field("dropped_rules", _STRINGS),
        pa.field("dropped_counts", _INTS),
        pa.field("missing_positives", pa.int32()),
        pa.field("recall", pa.float32()),
    )
)
"""positive_*, then negative_* nearest first, each with score, hash and place of the text.

negative_ranks: place among the query's candidates. sources: who proposed it, joined by +.
dropped_*: candidates that each rule dropped. missing_positives: judged, but not in the index.
recall: share of the exact nearest that an approximate index found, null where it was not measured.
"""
NEGATIVES = pa.schema([*QUERY, *LISTS, *AUDIT])


@dataclass(frozen=True, eq=False)
class Found:
    """What a unit's search, rules and selection came to."""

    asked: Asked
    places: pa.Table
    """SOURCE_FILE and SOURCE_ROW of each query."""
    pool: Pool
    """The selected negatives."""
    positives: Pairs
    missing: Places
    """Judged positives of each query that the index does not hold."""
    rules: Sequence[str]
    dropped: npt.NDArray[np.int32]
    """(q, rules)."""
    recall: pa.Array
    audit: pa.Table
    """AUDIT."""


def assembled(found: Found, sources: Sequence[str]) -> pa.Table:
    """NEGATIVES, one row a query in the order asked; `sources` are the names of the bits."""
    asked, pool, positives = found.asked, found.pool, found.positives
    documents = pool.documents
    made = [
        asked.ids,
        asked.ids,
        asked.hashes,
        found.places[columns.SOURCE_FILE.name],
        found.places[columns.SOURCE_ROW.name],
        *_lists(documents, positives.query, positives.document, positives.score, len(asked)),
        *_lists(documents, pool.query, pool.document, pool.score, len(asked)),
        _ragged(pool.query, pa.array(pool.rank.astype(np.int32)), len(asked)),
        _ragged(pool.query, proposers(pool.sources, sources), len(asked)),
        _ragged(*_dropped_rules(found)),
        ragged_column(found.dropped.reshape(-1), _even(found.dropped)),
        pa.array(found.missing.astype(np.int32)),
        found.recall,
        *found.audit.columns,
    ]
    return pa.table(made, schema=NEGATIVES)


def _lists(
    documents: pa.Table, query: Places, document: Places, score: npt.NDArray[np.float32], count: int
) -> list[pa.Array]:
    rows: Any = pa.array(document)
    taken = documents.take(rows)
    values: list[pa.Array] = [
        whole(taken["id"]),
        pa.array(score),
        *(whole(taken[name]) for name in ("content_hash", "source_file", "source_row")),
    ]
    return [_ragged(query, value, count) for value in values]


def _ragged(query: Places, values: pa.Array, count: int) -> pa.Array:
    """Lists of the values of each query; `query` ascends."""
    ends: Any = pa.array(np.searchsorted(query, np.arange(count + 1)).astype(np.int32))
    lists: pa.Array = pa.ListArray.from_arrays(ends, values)
    return lists


def _dropped_rules(found: Found) -> tuple[Places, pa.Array, int]:
    queries, rules = found.dropped.shape
    query = np.repeat(np.arange(queries), rules)
    names = pa.array(list(found.rules), pa.string())
    rows: Any = pa.array(np.tile(np.arange(rules), queries))
    return query, names.take(rows), queries


def _even(matrix: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    rows, width = matrix.shape
    ends: npt.NDArray[np.int32] = np.arange(rows + 1, dtype=np.int32) * width
    return ends
