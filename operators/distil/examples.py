"""Rows of a negatives or triples table with their texts: what every export format writes."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from operators.arrays import to_ragged
from operators.distil.lists import Lists, Marks, Places, Values, ranges
from operators.distil.triples import taken_apart
from operators.text.fetch import fetch
from operators.text.source import Source

pc: Any = pyarrow.compute  # the stubs do not know every function

LABELS = ("none", "binary", "scores", "targets", "log-targets")
_PARTS = ("ids", "hashes", "files", "rows")
_ONE = {"ids": "id", "hashes": "hash", "files": "file", "rows": "row"}
_LEAST = 1e-12
"""A target of nothing has a logarithm all the same."""


@dataclass(frozen=True, eq=False)
class Examples:
    """n queries, each with a list of [positive, *negatives], all with their texts."""

    query_ids: pa.Array
    queries: pa.Array
    lists: Lists
    ids: pa.Array
    """Of each document of each list."""
    documents: pa.Array
    """Their texts."""
    labels: Values
    """One a document, or none at all."""

    def __len__(self) -> int:
        return len(self.lists)

    @property
    def negative(self) -> Marks:
        """Which documents are no positives."""
        return self.lists.positions() > 0

    @property
    def labelled(self) -> bool:
        return len(self.labels) > 0 or not len(self.lists)


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a table as lists of documents that are located, not read."""

    table: pa.Table
    """Whose rows are the queries."""
    query: Places
    """Row of the query of each list."""
    lists: Lists
    document: Places
    """Which of `documents` each member is."""
    documents: dict[str, pa.Array]
    labels: Values

    def only(self, rows: Marks, members: Marks) -> "Rows":
        """The marked lists with their marked members; a list that stays keeps its first."""
        kept = members & rows[self.lists.owner]
        counts = np.bincount(self.lists.owner[kept], minlength=len(self.lists))[rows]
        return replace(
            self,
            query=self.query[rows],
            lists=Lists(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)),
            document=self.document[kept],
            labels=self.labels[kept] if len(self.labels) else self.labels,
        )

    def with_texts(self, queries: Source, documents: Source) -> Examples:
        """The texts read, each distinct one once; SourceError where one is not what it was."""
        asked = [_taken(self.table[name], self.query) for name in _PLACE]
        told = [_take(self.documents[part], self.document) for part in ("files", "rows", "hashes")]
        return Examples(
            _taken(self.table["query_id"], self.query),
            fetch(queries, *asked),
            self.lists,
            _take(self.documents["ids"], self.document),
            fetch(documents, *told),
            self.labels,
        )


_PLACE = ("source_file", "source_row", "content_hash")


def located(table: pa.Table, labels: str) -> Rows:
    """The lists of a negatives table (one a positive) or of a triples table, with their labels."""
    rows = _of_triples(table) if "targets" in table.column_names else _of_mined(table)
    return replace(rows, labels=_labels(rows, labels))


def logarithms(targets: Values) -> Values:
    """Of shares, those of nothing as of the least."""
    logs: Values = np.log(np.maximum(targets, _LEAST))
    return logs


def _of_mined(table: pa.Table) -> Rows:
    mined, triples = taken_apart(table)
    scores = mined.documents["scores"].to_numpy(zero_copy_only=False).astype(np.float64)
    labels = scores[triples.document]
    return Rows(table, triples.query, triples.lists, triples.document, mined.documents, labels)


def _of_triples(table: pa.Table) -> Rows:
    _, other = to_ragged(table["negative_rows"])
    counts = 1 + np.diff(other).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    document = ranges(len(table) + other.astype(np.int64)[:-1] - 1, counts)
    document[offsets[:-1]] = np.arange(len(table))
    documents = {
        part: pa.concat_arrays(
            [
                _one(table[f"positive_{_ONE[part]}"]),
                _one(pc.list_flatten(table[f"negative_{part}"])),
            ]
        )
        for part in _PARTS
    }
    scores, _ = to_ragged(table["teacher_scores"])
    return Rows(
        table, np.arange(len(table)), Lists(offsets), document, documents, scores.astype(np.float64)
    )


def _labels(rows: Rows, labels: str) -> Values:
    if labels in {"targets", "log-targets"}:
        targets = to_ragged(rows.table["targets"])[0].astype(np.float64)
        return targets if labels == "targets" else logarithms(targets)
    if labels == "scores":
        return rows.labels
    return rows.lists.onehot() if labels == "binary" else np.zeros(0)


def _take(array: pa.Array, places: Places) -> pa.Array:
    rows: Any = pa.array(places, pa.int64())
    return array.take(rows)


def _taken(column: pa.ChunkedArray, places: Places) -> pa.Array:
    return _take(_one(column), places)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
