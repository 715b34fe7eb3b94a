"""Texts of rows that a table names by (source_file, source_row), checked against their hash."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from operators import columns
from operators.errors import SourceError
from operators.storage import uri as store
from operators.storage.ranges import Ranges
from operators.text import read_csv, read_jsonl
from operators.text.lines import Line, damage_explained, longest_line, split_lines
from operators.text.places import located
from operators.text.raw import Record
from operators.text.rows import parquet_rows, piece_records, text_rows
from operators.text.source import Piece, Source

pc: Any = pyarrow.compute  # the stubs know neither Python scalars as operands nor every function

_KINDS = {"parquet": "parquet", "delta": "parquet", "jsonl": "jsonl", "beir": "jsonl", "csv": "csv"}
_PARALLEL = 8
_BATCH = 4096
_GAP = 64 << 10
"""Bytes between two lines up to which reading on costs less than another request."""
_LEAST, _MOST = 32 << 10, 1 << 20
"""Bytes of one request for lines."""

Numbers = npt.NDArray[np.int64]

_CHECKED: list[pa.Field] = [columns.TEXT, columns.CONTENT_HASH]


def fetch(source: Source, files: pa.Array, rows: pa.Array, hashes: pa.Array | None) -> pa.Array:
    """The texts of rows of a pinned source, as `read_unit` gave them, in the order asked.

    Each distinct row is read once; of Parquet only the row groups that hold one, of plain text
    only the lines. SourceError names the file and row of the first that is gone or whose text has
    not the hash given. Without hashes, for columns that were not hashed alone, only the row must
    be there.
    """
    if source.format not in _KINDS or not source.text or not source.id:
        raise SourceError(source.uri, "its format and text columns are not pinned; plan again")
    plain = replace(source, keep=(), sample=1.0, limit=0)
    names, code, number, place = _distinct(files, rows)
    bounds = np.searchsorted(code, np.arange(len(names) + 1))
    asked = [(name, number[bounds[i] : bounds[i + 1]]) for i, name in enumerate(names)]
    with ThreadPoolExecutor(_PARALLEL) as pool:
        found = list(pool.map(lambda one: _read(plain, *one), asked))
    table = _take(pa.concat_tables([*found, pa.schema(_CHECKED).empty_table()]), place)
    if hashes is not None:
        _check(source, table, files, rows, hashes)
    return pa.concat_arrays([*table[columns.TEXT.name].chunks, pa.array([], pa.string())])


def _check(
    source: Source, table: pa.Table, files: pa.Array, rows: pa.Array, hashes: pa.Array
) -> None:
    same = pc.fill_null(pc.equal(table[columns.CONTENT_HASH.name], hashes), False)
    first = pc.index(same, False).as_py()
    if first >= 0:
        problem = f"row {rows[first]} has changed since it was embedded"
        raise SourceError(located(source, str(files[first])), problem)


def _distinct(
    files: pa.Array, rows: pa.Array
) -> tuple[list[str], npt.NDArray[np.int64], Numbers, npt.NDArray[np.int64]]:
    """File names; file and row of each distinct row, ascending; which of them each asked row is."""
    coded = files.dictionary_encode()
    pairs = np.stack([np.asarray(coded.indices, np.int64), np.asarray(rows, np.int64)], axis=1)
    distinct, place = np.unique(pairs, axis=0, return_inverse=True)
    names = [str(name) for name in coded.dictionary]
    return names, distinct[:, 0], distinct[:, 1], place.reshape(-1)


def _read(source: Source, file: str, numbers: Numbers) -> pa.Table:
    """Text and hash of the rows of one file, in ascending order of their numbers."""
    uri = located(source, file)
    if _KINDS[source.format] == "parquet":
        table = _parquet(source, file, uri, numbers)
    else:
        records = list(_records(source, uri, numbers))
        table = text_rows(source, [file] * len(records), records)
    present = np.asarray(table[columns.SOURCE_ROW.name], np.int64)
    gone = np.setdiff1d(numbers, present)
    if len(gone):
        raise SourceError(uri, f"row {gone[0]} is gone; it was there when it was embedded")
    return table.select([field.name for field in _CHECKED])


def _parquet(source: Source, file: str, uri: str, numbers: Numbers) -> pa.Table:
    names = list(dict.fromkeys((source.id, *source.text)))
    with (
        damage_explained(uri),
        Ranges(uri) as stream,
        pq.ParquetFile(cast(IO[Any], stream)) as parquet,
    ):
        schema = parquet.schema_arrow
        lacking = [name for name in names if name not in schema.names]
        if lacking:
            problem = f"has no column {', '.join(lacking)}, only {', '.join(schema.names)}"
            raise SourceError(uri, problem)
        parts = list(_picked(parquet, names, numbers))
        picked = pa.schema([schema.field(name) for name in names]).empty_table()
        table = pa.concat_tables([picked, *parts]).select(names)
        there = numbers[(numbers >= 0) & (numbers < parquet.metadata.num_rows)]
    return parquet_rows(source, file, table, there)


def _picked(parquet: pq.ParquetFile, names: list[str], numbers: Numbers) -> Iterator[pa.Table]:
    """The rows of the row groups that hold any, a batch at a time."""
    first = 0
    for group in range(parquet.num_row_groups):
        last = first + parquet.metadata.row_group(group).num_rows
        begin, end = np.searchsorted(numbers, [first, last])
        if begin < end:
            yield from _of_group(parquet, group, names, numbers[begin:end] - first)
        first = last


def _of_group(
    parquet: pq.ParquetFile, group: int, names: list[str], numbers: Numbers
) -> Iterator[pa.Table]:
    start = 0
    for batch in parquet.iter_batches(_BATCH, [group], names, use_threads=False):
        begin, end = np.searchsorted(numbers, [start, start + len(batch)])
        if begin < end:
            yield _take(pa.table(batch), numbers[begin:end] - start)
        start += len(batch)
        if end == len(numbers):
            return


def _take(table: pa.Table, rows: Numbers) -> pa.Table:
    places: Any = pa.array(rows, pa.int64())
    return table.take(places)


def _records(source: Source, uri: str, numbers: Numbers) -> Iterator[Record]:
    """The records that start at those bytes; a file that cannot be cut is read through."""
    csv = _KINDS[source.format] == "csv"
    found = store.file_at(uri)
    piece = Piece(uri, "csv" if csv else "jsonl", found.version, found.size, 0, found.size)
    if piece.compression or (csv and source.newlines_in_values):
        yield from _through(source, piece, numbers)
        return
    lines = _lines(source, piece, numbers)
    yield from (
        read_csv.records_of(source, piece, lines) if csv else read_jsonl.records_of(source, lines)
    )


def _through(source: Source, piece: Piece, numbers: Numbers) -> Iterator[Record]:
    wanted, last = set(map(int, numbers)), int(numbers[-1])
    for record in piece_records(source, piece):
        if record.row in wanted:
            yield record
        if record.row >= last:
            return


def _lines(source: Source, piece: Piece, numbers: Numbers) -> Iterator[Line]:
    """The lines that start at those bytes, near ones by one pass over what lies between."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > _GAP) + 1)
    for run in runs:
        wanted, last = set(map(int, run)), int(run[-1])
        with damage_explained(piece.uri), Ranges(piece.uri) as stream:
            stream.seek(int(run[0]))
            chunk = min(max(last - int(run[0]) + _LEAST, _LEAST), _MOST)
            for line in split_lines(stream, int(run[0]), longest_line(source), chunk):
                if line.offset in wanted:
                    yield line
                if line.offset >= last:
                    break
