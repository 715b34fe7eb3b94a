"""What happened between two versions of a table: the feed that keeps a vector database in step."""

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from operators import columns
from operators.errors import ConfigError, TableError
from operators.storage import log
from operators.storage import uri as store
from operators.storage.history import check_whole
from operators.storage.keys import hashed, read_bucket, write_bucketed
from operators.storage.parquet import picked
from operators.storage.row_digest import row_digests
from operators.storage.table import Table, TableFile
from pipelines.feed_files import Sink

pc: Any = pyarrow.compute  # the stubs do not know every function

EMPTY = -1
"""The version before the first: no row at all."""
LOCATORS = (columns.SOURCE_FILE.name, columns.SOURCE_ROW.name)
"""Columns that say where a row came from, not what it is: no part of a feed."""
ROWS_A_BUCKET = 1_000_000
SHOWN = 10
_ADDED, _CHANGED = 1, 2
_ID = columns.ID.name


@dataclass(frozen=True)
class Feed:
    """What a feed came to; `first` has the smallest ids of each kind."""

    table: str
    before: int
    after: int
    added: int = 0
    changed: int = 0
    deleted: int = 0
    files_read: int = 0
    """Data files that are not in both versions."""
    first: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Side:
    """The files of one version that the other has not."""

    table: Table
    version: int
    files: tuple[TableFile, ...]
    schema: pa.Schema
    """What a row is compared by: the id and everything but the locators."""

    def same_schema(self, other: "_Side") -> bool:
        """Whether rows of both can be compared, what decodes their codes included."""
        return self.schema.equals(other.schema, check_metadata=True)

    def all_files(self) -> list[TableFile]:
        """Every file of the version."""
        return [] if self.version == EMPTY else self.table.files(self.version)

    def less(self, shared: set[str]) -> "_Side":
        """With the files that are not shared; TableError when one of them is gone."""
        files = tuple(file for file in self.all_files() if file.path not in shared)
        paths = [file.path for file in files]
        hint = "a feed from `empty` has all rows of the newest"
        check_whole(self.table.uri, self.version, paths, hint)
        return replace(self, files=files)


@dataclass(frozen=True)
class _Found:
    """One bucket's ids by what happened to them; rows are counted over the files of `after`."""

    added: pa.Table
    changed: pa.Table
    deleted: pa.Array


def feed(uri: str, before: int, after: int, out: str = "") -> Feed:
    """Compare two versions by id; with `out`, write the change there as Parquet and a manifest.

    A row is changed when any column but its locators differs; where the schemas differ every row
    is. Reads the files that the versions do not share. Memory holds one row group, one bucket of
    about a million ids and one part of the output, whatever the table; a temporary file takes some
    80 bytes a row. ConfigError for equal versions or an `out` that holds something; TableError for
    a version that is not there, or no longer whole, or whose ids are not unique, and for a table
    with partitions or deletion vectors.
    """
    if before == after:
        raise ConfigError((f"version {after} against itself: name two versions",))
    log.check_plain(uri)
    old, new = _sides(Table(uri), before, after)
    with tempfile.TemporaryDirectory(prefix="corpusmill-feed-") as folder:
        comparison = _Comparison(old, new, folder)
        found = Feed(uri, before, after, files_read=len(old.files) + len(new.files))
        if not out:
            return comparison.counted(found, None)
        with Sink.open(out) as sink:
            found = comparison.counted(found, sink)
            for rows in comparison.upserts():
                sink.upsert(rows)
            sink.finish(new.table, replace(found, first={}), new.schema)
    return found


def _sides(table: Table, before: int, after: int) -> tuple[_Side, _Side]:
    """What must be read of both versions."""
    schemas = {version: _schema(table, version) for version in (before, after) if version != EMPTY}
    some = next(iter(schemas.values()))
    old, new = (_Side(table, v, (), schemas.get(v, some)) for v in (before, after))
    shared: set[str] = set()
    if old.same_schema(new):
        shared = {file.path for file in old.all_files()} & {file.path for file in new.all_files()}
    return old.less(shared), new.less(shared)


def _schema(table: Table, version: int) -> pa.Schema:
    schema = table.schema(version)
    if _ID not in schema.names or "change" in schema.names:
        what = "no column id" if _ID not in schema.names else "a column of the name change"
        raise TableError(table.uri, f"version {version} has {what}, so it has no feed")
    return pa.schema([each for each in schema if each.name not in LOCATORS])


@dataclass(frozen=True)
class _Comparison:
    """Two sides joined by hash buckets of the id, on disk."""

    old: _Side
    new: _Side
    folder: str

    def counted(self, found: Feed, sink: Sink | None) -> Feed:
        """Join all buckets: mark the rows of `new`, pass on what was deleted, count."""
        buckets = max(
            1, -(-sum(f.rows for s in (self.old, self.new) for f in s.files) // ROWS_A_BUCKET)
        )
        same = self.old.same_schema(self.new)
        old = list(_spilled(self.old, f"{self.folder}/old", buckets, digests=same))
        new = list(_spilled(self.new, f"{self.folder}/new", buckets, digests=same))
        marks = self._marks("w+")
        for bucket in range(buckets):
            joined = _joined(self.old, self.new, _bucket(old, bucket), _bucket(new, bucket))
            marks[joined.added["row"].to_numpy()] = _ADDED
            marks[joined.changed["row"].to_numpy()] = _CHANGED
            if sink:
                sink.delete(joined.deleted)
            found = _with(found, joined)
        return found

    def upserts(self) -> Iterator[pa.Table]:
        """The added and changed rows of `new` in the order of its files, with their `change`."""
        marks, start = self._marks("r"), 0
        kinds: Any = pa.array(["", "added", "changed"])
        for file in self.new.files:
            if marks[start : start + file.rows].any():
                at = start
                for rows in _rows(self.new, file, self.new.schema.names):
                    chosen = np.asarray(marks[at : at + len(rows)])
                    at += len(rows)
                    named = rows.append_column("change", kinds.take(pa.array(chosen)))
                    yield named.filter(pa.array(chosen > 0))
            start += file.rows

    def _marks(self, mode: Any) -> npt.NDArray[np.uint8]:
        """One byte a row of `new`, on disk."""
        rows = max(1, sum(file.rows for file in self.new.files))
        return np.memmap(f"{self.folder}/marks", np.uint8, mode, shape=(rows,))


def _spilled(side: _Side, folder: str, buckets: int, *, digests: bool) -> Iterator[str]:
    """Write id, digest and row number of all rows by buckets; the files, each of many rows."""
    names = side.schema.names if digests else [_ID]
    start, waiting = 0, list[pa.Table]()
    for number, rows in enumerate(_all_rows(side, names)):
        table = pa.table(
            {
                _ID: rows[_ID].cast(pa.string()),
                "digest": row_digests(rows)
                if digests
                else pa.array([b""] * len(rows), pa.binary()),
                "row": np.arange(start, start + len(rows)),
            }
        )
        start += len(rows)
        waiting.append(table)
        if sum(map(len, waiting)) >= ROWS_A_BUCKET:
            yield _spill(side, f"{folder}-{number}.parquet", waiting, buckets)
            waiting = []
    if waiting:
        yield _spill(side, f"{folder}.parquet", waiting, buckets)


def _spill(side: _Side, path: str, tables: list[pa.Table], buckets: int) -> str:
    table = pa.concat_tables(tables).combine_chunks()
    if table[_ID].null_count:
        raise TableError(side.table.uri, f"version {side.version} has a row without id")
    beside = {name: table[name].combine_chunks() for name in table.column_names}
    write_bucketed(path, hashed(table[_ID]), beside, buckets)
    return path


def _bucket(spilled: list[str], bucket: int) -> pa.Table:
    if not spilled:
        kinds = [(_ID, pa.string()), ("digest", pa.binary()), ("row", pa.int64())]
        return pa.schema([pa.field(name, kind) for name, kind in kinds]).empty_table()
    return read_bucket(spilled, bucket, [_ID, "digest", "row"]).combine_chunks()


def _joined(old_side: _Side, new_side: _Side, old: pa.Table, new: pa.Table) -> _Found:
    for side, table in ((old_side, old), (new_side, new)):
        if pc.count_distinct(table[_ID]).as_py() != len(table):
            raise TableError(side.table.uri, f"version {side.version} holds an id twice")
    same_schema = old_side.same_schema(new_side)
    place = pc.index_in(new[_ID], value_set=_flat(old[_ID]))
    known = pc.is_valid(place)
    before = old["digest"].take(place)
    changed = pc.and_(known, pc.not_equal(before, new["digest"]) if same_schema else known)
    gone = pc.invert(pc.is_in(old[_ID], value_set=_flat(new[_ID])))
    return _Found(
        new.filter(pc.invert(known)),
        new.filter(pc.fill_null(changed, False)),
        _flat(old[_ID].filter(gone)),
    )


def _flat(column: Any) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _with(found: Feed, joined: _Found) -> Feed:
    ids = {
        "added": joined.added[_ID],
        "changed": joined.changed[_ID],
        "deleted": joined.deleted,
    }
    first = {
        kind: tuple(heapq.nsmallest(SHOWN, [*found.first.get(kind, ()), *_least(each)]))
        for kind, each in ids.items()
    }
    return replace(
        found,
        added=found.added + len(joined.added),
        changed=found.changed + len(joined.changed),
        deleted=found.deleted + len(joined.deleted),
        first=first,
    )


def _least(ids: Any) -> list[str]:
    order = pc.select_k_unstable(ids, SHOWN, sort_keys=[("", "ascending")])
    found: list[str] = ids.take(order).to_pylist()
    return found


def _all_rows(side: _Side, names: list[str]) -> Iterable[pa.Table]:
    for file in side.files:
        yield from _rows(side, file, names)


def _rows(side: _Side, file: TableFile, names: list[str]) -> Iterator[pa.Table]:
    """A file's row groups with these columns as the version has them; nulls where it has none."""
    schema = pa.schema([side.schema.field(name) for name in names])
    with picked(store.join(side.table.uri, file.path)) as parquet:
        there = [name for name in names if parquet.schema_arrow.get_field_index(name) >= 0]
        for group in range(parquet.metadata.num_row_groups):
            rows = parquet.read_row_group(group, columns=there)
            arrays = [
                rows[each.name].cast(each.type)
                if each.name in there
                else pa.nulls(len(rows), each.type)
                for each in schema
            ]
            yield pa.table(arrays, schema=schema)
