"""Where ids stand in what is stored: in columns of Parquet, as hashed keys, in JSON."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from operators.storage.keys import hashed, hashes_of, key_halves
from operators.storage.parquet import picked

pc: Any = pyarrow.compute  # the stubs do not know every function

KEYS = "hashed keys"
"""Stands for a column where a sidecar of keys holds the hash of an id."""
_PASSAGE = r"#[0-9a-f]{16}(-\d+)?$"
"""What the id of a passage has after that of its document."""
_LONGEST_PASSAGE = 40
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_STRUCTURE = frozenset(
    {"schemaString", "configuration", "partitionColumns", "format", "protocol", "txn"}
)
"""Parts of a log entry that say how the table is laid out and hold no value of a row."""

Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Wanted:
    """Ids to look for; the passages of a document go by its id as well."""

    ids: pa.Array

    @classmethod
    def of(cls, ids: Iterable[str]) -> "Wanted":
        """Ids without repetitions."""
        return cls(pa.array(sorted(set(ids)), pa.string()))

    def with_more(self, ids: Iterable[str]) -> "Wanted":
        """These ids and others."""
        known: list[Any] = self.ids.to_pylist()
        return Wanted.of([*known, *ids])

    def among(self, values: Any) -> Marks:
        """Which values of a flat column of text or bytes are wanted."""
        kind = values.type
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            found = pc.is_in(values.cast(pa.binary()), value_set=self.ids.cast(pa.binary()))
            return _marks(found)
        text = values.cast(pa.string())
        longest = (pc.max(pc.binary_length(self.ids)).as_py() or 0) + _LONGEST_PASSAGE
        short = pc.if_else(pc.greater(pc.binary_length(text), longest), "", text)
        stems = pc.replace_substring_regex(short, pattern=_PASSAGE, replacement="")
        return _marks(
            pc.or_(pc.is_in(short, value_set=self.ids), pc.is_in(stems, value_set=self.ids))
        )

    def hashed_among(self, table: pa.Table) -> Marks:
        """Which rows of a sidecar of keys have the hash of a wanted id."""
        mine = hashes_of(hashed(self.ids))
        return _marks(pc.is_in(hashes_of(key_halves(table)), value_set=mine))

    def in_json(self, value: Any) -> bool:
        """Whether a string in a JSON value is wanted: all of it, or what stands in quotes."""
        texts = list(_strings(value))
        return bool(texts) and bool(self.among(pa.array(texts, pa.string())).any())


@dataclass(frozen=True, eq=False)
class Rows:
    """A row group's searchable columns, and which of its rows hold a wanted id in which column."""

    table: pa.Table
    hits: Mapping[str, Marks]
    values: frozenset[str]
    """The wanted texts that were found."""


def search_rows(uri: str, wanted: Wanted, skip: Iterable[str] = ()) -> Iterator[Rows]:
    """Search a Parquet file by row groups: all columns with text or bytes but `skip`, and keys.

    TableError when it cannot be read.
    """
    with picked(uri) as file:
        schema = file.schema_arrow
        names = [name for name in schema.names if name not in skip]
        keys = {"high", "low"} <= set(names)
        chosen = [each for each in names if _has_text(schema.field(each).type) or each == "id"]
        chosen += ["high", "low"] if keys else []
        for group in range(file.metadata.num_row_groups if chosen else 0):
            table = file.read_row_group(group, columns=chosen)
            yield _searched(table, wanted, keys=keys)


def has_rows(table: pa.Table, wanted: Wanted, skip: Iterable[str] = ()) -> dict[str, Marks]:
    """Which rows of a table hold a wanted id, by column."""
    kept = [
        each.name
        for each in table.schema
        if each.name not in set(skip) and (_has_text(each.type) or each.name == "id")
    ]
    return dict(_searched(table.select(kept), wanted, keys=False).hits)


def without(value: Any, wanted: Wanted) -> Any:
    """A JSON value less the members of lists, and of objects, that hold a wanted id."""
    if isinstance(value, list):
        return [without(each, wanted) for each in value if not wanted.in_json(each)]
    if isinstance(value, dict):
        return {
            name: without(each, wanted)
            for name, each in value.items()
            if isinstance(each, list | dict) or not wanted.in_json(each)
        }
    return value


def _searched(table: pa.Table, wanted: Wanted, *, keys: bool) -> Rows:
    hits: dict[str, Marks] = {}
    values: set[str] = set()
    names = [name for name in table.column_names if not (keys and name in {"high", "low"})]
    for name in names:
        marks = np.zeros(len(table), np.bool_)
        column = _one(table[name])
        if pa.types.is_integer(column.type):  # the ids of another writer may be numbers
            column = column.cast(pa.string())
        for flat, rows in _leaves(column, np.arange(len(table))):
            found = wanted.among(flat)
            marks[rows[found]] = True
            if found.any() and not pa.types.is_binary(flat.type):
                values.update(flat.filter(pa.array(found)).cast(pa.string()).to_pylist())
        if marks.any():
            hits[name] = marks
    if keys and (marks := wanted.hashed_among(table)).any():
        hits[KEYS] = marks
    return Rows(table, hits, frozenset(values))


def _leaves(array: Any, rows: npt.NDArray[np.int64]) -> Iterator[tuple[Any, Any]]:
    """The flat columns of text or bytes in a column, and the row of each value."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        yield from _leaves(array.cast(kind.value_type), rows)
    elif pa.types.is_map(kind):
        pairs = pa.StructArray.from_arrays([array.keys, array.items], ["key", "value"])
        yield from _leaves(pa.ListArray.from_arrays(array.offsets, pairs), rows)
    elif pa.types.is_nested(kind) and not pa.types.is_struct(kind):
        places = pc.list_parent_indices(array).to_numpy()
        yield from _leaves(pc.list_flatten(array), rows[places])
    elif pa.types.is_struct(kind):
        for child in array.flatten():
            yield from _leaves(child, rows)
    elif _is_text(kind):
        yield array, rows


def _has_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _has_text(kind.value_type)
    if pa.types.is_nested(kind):
        return any(_has_text(kind.field(n).type) for n in range(kind.num_fields))
    return _is_text(kind)


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return is_text or types.is_binary(kind) or types.is_large_binary(kind)


def _strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value, in JSON that is a text in it, and in quotes; no names."""
    if isinstance(value, dict):
        value = [each for name, each in value.items() if name not in _STRUCTURE]
    if isinstance(value, list):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, str):
        yield value
        inner = _parsed(value)
        if inner is not None:
            yield from _strings(inner)
        else:
            yield from (one or other for one, other in _QUOTED.findall(value))


def _parsed(text: str) -> Any:
    """The object or array that a text is, None where it is neither."""
    if text[:1] not in {"{", "["}:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _marks(found: Any) -> Marks:
    marks: Marks = np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False), np.bool_)
    return marks


def _one(column: Any) -> Any:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
