"""Parquet files: footers for planning, row ranges for reading."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from operators.errors import DamageError
from operators.storage import uri as store
from operators.text.lines import damage_explained, unchanged
from operators.text.source import Piece

_TAIL = 64 << 10
_BATCH = 4096

Read = Callable[[str, int, int], bytes]
"""What reads the bytes [start, stop) of an object."""


@dataclass(frozen=True)
class Footer:
    """What planning needs of a file: its schema, and rows and bytes of each row group."""

    schema: pa.Schema
    rows: tuple[int, ...]
    sizes: tuple[int, ...]
    """Bytes before compression, of the columns that will be read."""
    damaged: bool = False
    """The file has none; it lends the schema of another and becomes a unit that fails."""


def read_footer(file: store.File, columns: Sequence[str], read: Read = store.read_bytes) -> Footer:
    """The footer by one ranged read, two where it is long; DamageError unless it is Parquet."""
    with damage_explained(file.uri):
        tail = read(file.uri, max(file.size - _TAIL, 0), file.size)
        if len(tail) < 12 or tail[-4:] != b"PAR1":
            raise DamageError(file.uri, "not a Parquet file, or cut short: its end mark is missing")
        needed = int.from_bytes(tail[-8:-4], "little") + 8
        if needed > len(tail):
            tail = read(file.uri, max(file.size - needed, 0), file.size)
        metadata = pq.read_metadata(pa.BufferReader(tail))
        schema = metadata.schema.to_arrow_schema()
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    leaves = [
        leaf
        for leaf in range(metadata.num_columns)
        if metadata.schema.column(leaf).path.partition(".")[0] in columns
        or metadata.schema.column(leaf).path in columns
    ]
    return Footer(
        schema,
        tuple(group.num_rows for group in groups),
        tuple(
            sum(group.column(leaf).total_uncompressed_size for leaf in leaves) for group in groups
        ),
    )


def read_rows(piece: Piece, columns: Sequence[str]) -> pa.Table:
    """Rows [start, stop) of the piece's file, in order, at most `max_rows` of them.

    No columns named are all of them. Streams page by page, so that a range of an oversized row
    group never holds the whole group.
    """
    stop = piece.stop if piece.max_rows < 0 else min(piece.stop, piece.start + piece.max_rows)
    with unchanged(piece) as stream:
        file = pq.ParquetFile(stream)
        names = list(dict.fromkeys(columns)) or file.schema_arrow.names
        groups, skip = _groups(file.metadata, piece.start, stop)
        batches = file.iter_batches(_BATCH, row_groups=groups, columns=names, use_threads=False)
        kept = list(_between(batches, skip, stop - piece.start))
        schema = pa.schema([file.schema_arrow.field(name) for name in names])
    return pa.Table.from_batches(kept) if kept else schema.empty_table()


def _groups(metadata: pq.FileMetaData, start: int, stop: int) -> tuple[list[int], int]:
    """The row groups that hold rows [start, stop), and the rows to skip in the first of them."""
    groups: list[int] = []
    skip = first = 0
    for index in range(metadata.num_row_groups):
        last = first + metadata.row_group(index).num_rows
        if first < stop and last > start:
            skip = skip if groups else start - first
            groups.append(index)
        first = last
    return groups, max(skip, 0)


def _between(batches: Iterator[pa.RecordBatch], skip: int, count: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if count <= 0:
            return
        taken = batch.slice(skip, count)
        skip = max(skip - len(batch), 0)
        count -= len(taken)
        if len(taken):
            yield taken
