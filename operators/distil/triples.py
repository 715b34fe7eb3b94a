"""Mined rows taken apart into one list a (query, positive), and put together as triples."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from operators import columns
from operators.arrays import from_binary, to_ragged
from operators.distil.lists import Lists, Marks, Places, Values, ranges
from operators.text.hashes import content_hashes

pc: Any = pyarrow.compute  # the stubs do not know every function

_PARTS: dict[str, Any] = {
    "ids": pa.list_(pa.string()),
    "hashes": pa.list_(pa.binary()),
    "files": pa.list_(pa.string()),
    "rows": pa.list_(pa.int64()),
}
_ONE = {"ids": "id", "hashes": "hash", "files": "file", "rows": "row"}
_QUERY = (columns.QUERY_ID, columns.CONTENT_HASH, columns.SOURCE_FILE, columns.SOURCE_ROW)
_SCORES = pa.list_(pa.float32())
MINED: tuple[pa.Field, ...] = (
    *_QUERY,
    *(
        pa.field(f"{role}_{part}", kind)
        for role in ("positive", "negative")
        for part, kind in {**_PARTS, "scores": _SCORES}.items()
    ),
)
"""What is read of a negatives table."""


def schema_of(target: str) -> pa.Schema:
    """The columns of a triples table: one row a (query, positive).

    `targets` and `teacher_scores` are of [positive, *negatives]; without a teacher the latter are
    empty. The metadata of `targets` names the target.
    """
    kind: dict[bytes | str, bytes | str] = {"corpusmill.target": target}
    fields: list[pa.Field] = [columns.ID, *_QUERY]
    fields += [pa.field(f"positive_{one}", _PARTS[part].value_type) for part, one in _ONE.items()]
    fields += [pa.field(f"negative_{part}", type_) for part, type_ in _PARTS.items()]
    return pa.schema(
        [*fields, pa.field("targets", _SCORES, metadata=kind), pa.field("teacher_scores", _SCORES)]
    )


@dataclass(frozen=True, eq=False)
class Mined:
    """A table of mined rows, taken apart: the documents of all rows, positives first."""

    table: pa.Table
    query: Places
    """Row of the query of each document."""
    documents: dict[str, pa.Array]
    """ids, hashes, files, rows and scores of the documents."""
    positives: int

    def asked(self, column: str) -> pa.Array:
        """What that column says of the query of each document."""
        return _take(_one(self.table[column]), self.query)


@dataclass(frozen=True, eq=False)
class Triples:
    """Lists of [positive, *negatives], one a (query, positive)."""

    query: Places
    """Row of the query of each list."""
    lists: Lists
    document: Places
    """Which document of `Mined` each member is."""

    def only(self, kept: Marks) -> "Triples":
        """With the marked members alone; positives are marked."""
        return replace(self, lists=self.lists.only(kept), document=self.document[kept])

    def ordered(self, order: Places) -> "Triples":
        """With the members in another order within their lists."""
        return replace(self, document=self.document[order])


def taken_apart(table: pa.Table) -> tuple[Mined, Triples]:
    """The documents of mined rows, and a list for each positive with all of its row's negatives.

    A positive of the same text as another of its query is the same training row, and left out.
    """
    rows = len(table)
    _, first = to_ragged(table["positive_rows"])
    _, other = to_ragged(table["negative_rows"])
    positives, negatives = np.diff(first).astype(np.int64), np.diff(other).astype(np.int64)
    numbers = np.arange(rows)
    documents = {part: _members(table, part) for part in (*_PARTS, "scores")}
    query = np.concatenate([np.repeat(numbers, positives), np.repeat(numbers, negatives)])
    mined = Mined(table, query, documents, int(first[-1]))
    chosen = _distinct(query[: mined.positives], documents["hashes"][: mined.positives])
    owner = query[chosen]
    counts = 1 + negatives[owner]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    document = ranges(mined.positives + other.astype(np.int64)[owner] - 1, counts)
    document[offsets[:-1]] = chosen
    return mined, Triples(owner, Lists(offsets), document)


def put_together(
    mined: Mined, triples: Triples, targets: Values, scores: Values, schema: pa.Schema
) -> pa.Table:
    """The triples as a table of that schema; no `scores` are empty lists."""
    lists, documents = triples.lists, mined.documents
    negative = triples.lists.positions() > 0
    asked = {field.name: _take(_one(mined.table[field.name]), triples.query) for field in _QUERY}
    first = triples.document[lists.firsts]
    positive = {part: _take(documents[part], first) for part in _PARTS}
    others = Lists(lists.offsets - np.arange(len(lists) + 1))
    made = [
        _ids(asked["content_hash"], positive["hashes"]),
        *asked.values(),
        *positive.values(),
        *(_ragged(others, _take(documents[part], triples.document[negative])) for part in _PARTS),
        _ragged(lists, pa.array(targets.astype(np.float32))),
        _ragged(
            lists if len(scores) else Lists(np.zeros(len(lists) + 1, np.int64)),
            pa.array(scores.astype(np.float32)),
        ),
    ]
    return pa.table(made, schema=schema)


def without_positive(mined: Mined, triples: Triples, schema: pa.Schema) -> pa.Table:
    """A row for each query that has none, with nothing but what names and locates it."""
    lonely = np.setdiff1d(np.arange(len(mined.table)), triples.query)
    rows = mined.table.take(pa.array(lonely, pa.int64()))
    given = {field.name: rows[field.name] for field in _QUERY} | {"id": rows["query_id"]}
    made = [given.get(field.name, pa.nulls(len(rows), field.type)) for field in schema]
    return pa.table(made, schema=schema)


def _members(table: pa.Table, part: str) -> pa.Array:
    roles: Sequence[pa.ChunkedArray] = (table[f"positive_{part}"], table[f"negative_{part}"])
    return pa.concat_arrays([_one(pc.list_flatten(column)) for column in roles])


def _distinct(query: Places, hashes: pa.Array) -> Places:
    """The first of each (query, hash), in order."""
    coded = np.asarray(hashes.dictionary_encode().indices, np.int64)
    _, first = np.unique(np.stack([query, coded]), axis=1, return_index=True)
    return np.sort(first)


def _ids(query_hashes: pa.Array, positive_hashes: pa.Array) -> pa.Array:
    """Hex blake2b-128 of both hashes."""
    both = pc.binary_join_element_wise(query_hashes, positive_hashes, b"")
    digests = from_binary(content_hashes(both), 16)
    return pa.array([row.tobytes().hex() for row in digests], pa.string())


def _ragged(lists: Lists, values: pa.Array) -> pa.Array:
    offsets: Any = pa.array(lists.offsets.astype(np.int32))
    return pa.ListArray.from_arrays(offsets, values)


def _take(array: pa.Array, places: Places) -> pa.Array:
    rows: Any = pa.array(places, pa.int64())
    return array.take(rows)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
