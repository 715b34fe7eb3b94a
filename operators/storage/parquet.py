"""Immutable Parquet shards: named by content, streamed to the store, hashed while written."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from operators.errors import SourceError, TableError
from operators.storage import uri as store
from operators.storage.content import DIGEST_BYTES, content_digest
from operators.storage.ranges import Ranges
from operators.storage.stored import leaf_columns, stored, stored_table
from operators.storage.stream import Sink, open_output

ROW_GROUP_BYTES = 64 << 20
_SMALLEST_GROUP = 128
"""Rows a group holds at least, however large they are: a group of one row reads slowly."""
_CHUNK = 8 << 20


@dataclass(frozen=True)
class Shard:
    """One immutable data file; `path` is relative to its table, `checksum` blake2b-128 hex."""

    path: str
    rows: int
    size: int
    checksum: str


def write_shard(
    table_uri: str, run: str, unit: str, table: pa.Table, metadata: dict[str, str]
) -> Shard:
    """Write a unit's rows as `data/<run>/<unit>-<digest of content>.parquet`, whole or not at all.

    The same table and metadata give the same name and the same bytes. `metadata` goes to the
    file's key-value metadata. ContractError names a column that a table cannot hold.
    """
    with _explained(table_uri):
        plain = stored_table(table)
        path = f"data/{run}/{unit}-{content_digest(plain, metadata)}.parquet"
        size, checksum = _write(store.join(table_uri, path), plain, metadata)
    return Shard(path, len(plain), size, checksum)


def write_rows(uri: str, table: pa.Table, metadata: dict[str, str] | None = None) -> int:
    """Write a side file (quarantine, keys) whole or not at all; returns its bytes."""
    with _explained(uri):
        return _write(uri, stored_table(table), metadata or {})[0]


def read_shard(table_uri: str, path: str, columns: list[str] | None = None) -> pa.Table:
    """Read a shard or its named columns; TableError if it is missing, corrupt or lacks one."""
    uri = store.join(table_uri, path)
    with opened(uri) if columns is None else picked(uri) as file:
        schema = file.schema_arrow
        lacking = [name for name in columns or [] if schema.get_field_index(name) < 0]
        if lacking:
            raise TableError(
                uri, f"has no column {', '.join(lacking)}, only {', '.join(schema.names)}"
            )
        table: pa.Table = file.read(columns=columns)
    return table.select(columns) if columns is not None else table


def group_rows(table_uri: str, path: str) -> list[int]:
    """Rows of each row group of a shard, from its footer."""
    with picked(store.join(table_uri, path)) as file:
        groups = range(file.metadata.num_row_groups)
        return [file.metadata.row_group(group).num_rows for group in groups]


def read_group(table_uri: str, path: str, group: int, columns: list[str]) -> pa.Table:
    """One row group of a shard: those of the named columns that it has, in the order named."""
    with picked(store.join(table_uri, path)) as file:
        there = [name for name in columns if file.schema_arrow.get_field_index(name) >= 0]
        table: pa.Table = file.read_row_group(group, columns=there)
    return table.select(there)


def shard_metadata(uri: str) -> dict[str, str]:
    """The key-value metadata a shard was written with; TableError if it is missing or corrupt."""
    with picked(uri) as file:
        notes = file.metadata.metadata or {}
    return {key.decode(): value.decode() for key, value in notes.items() if key != b"ARROW:schema"}


@contextmanager
def opened(uri: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file on any store, to be read through; what goes wrong with it is TableError."""
    with _explained(uri), store.open_input(uri) as stream, pq.ParquetFile(stream) as file:
        yield file


@contextmanager
def picked(uri: str) -> Iterator[pq.ParquetFile]:
    """As `opened`, to read some columns or groups: each read asks a store for their bytes alone."""
    local = store.is_local(uri)
    with (
        _explained(uri),
        store.open_input(uri) if local else Ranges(uri) as stream,
        # Arrow's threads, which read ahead, may still want Python's lock when the process ends
        pq.ParquetFile(cast(IO[Any], stream), pre_buffer=not local) as file,
    ):
        yield file


def stored_bytes(table: pa.Table) -> int:
    """Bytes the table would take as a shard, by writing it to memory."""
    plain = stored_table(table)
    sink = _Hashing(io.BytesIO())
    with _writer(sink, plain.schema, {}, _flat(plain.schema)) as writer:
        writer.write_table(plain.combine_chunks(), row_group_size=_group_rows(plain))
    return sink.size


def checksum_of(uri: str) -> str:
    """blake2b-128 hex of an object's bytes; TableError if it cannot be read."""
    digest = blake2b(digest_size=DIGEST_BYTES)
    with _explained(uri), store.open_input(uri) as stream, store.explained(uri):
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def has_its_content(table_uri: str, path: str) -> bool:
    """Whether a shard still holds what its name says, by the digest of its rows and metadata."""
    uri = store.join(table_uri, path)
    rows = stored_table(read_shard(table_uri, path))
    return path.endswith(f"-{content_digest(rows, shard_metadata(uri))}.parquet")


def write_grouped(uri: str, groups: list[pa.Table], metadata: dict[str, str]) -> int:
    """Write each table as one row group, empty ones too: group i is groups[i]; returns bytes.

    Their extremes are not noted: whoever reads one group of many reads all that the footer says.
    """
    with _explained(uri), open_output(uri) as stream:
        sink = _Hashing(stream)
        with _writer(sink, stored(groups[0].schema), metadata, extremes=[]) as writer:
            for group in groups:
                writer.write_table(stored_table(group), row_group_size=max(1, len(group)))
    return sink.size


def _write(uri: str, table: pa.Table, metadata: dict[str, str]) -> tuple[int, str]:
    with open_output(uri) as stream:
        sink = _Hashing(stream)
        with _writer(sink, table.schema, metadata, _flat(table.schema)) as writer:
            writer.write_table(table.combine_chunks(), row_group_size=_group_rows(table))
    return sink.size, sink.digest.hexdigest()


def _writer(
    sink: "_Hashing", schema: pa.Schema, metadata: dict[str, str], extremes: list[str]
) -> pq.ParquetWriter:
    """A writer that notes the least and greatest value of some columns of each row group."""
    strings, floats = leaf_columns(schema)
    where: Any = sink
    dictionaries: Any = strings  # lists of columns, which the stubs do not know
    noted: Any = extremes
    return pq.ParquetWriter(
        where,
        schema.with_metadata(metadata),
        compression="zstd",
        use_dictionary=dictionaries,
        column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
        write_statistics=noted,
        store_schema=True,
    )


def _flat(schema: pa.Schema) -> list[str]:
    """All but vectors: the extremes of their numbers help nobody, and take a tenth."""
    return [field.name for field in schema if not pa.types.is_nested(field.type)]


def _group_rows(table: pa.Table) -> int:
    """Rows a group: equal groups of at most ROW_GROUP_BYTES, so that no stub is left at the end."""
    rows = max(1, len(table))
    fitting = max(_SMALLEST_GROUP, rows * ROW_GROUP_BYTES // max(1, table.nbytes))
    groups = -(-rows // fitting)
    return -(-rows // groups)


class _Hashing(io.RawIOBase):
    """Hashes and counts what passes through to `stream`, and leaves closing it to its owner."""

    def __init__(self, stream: Sink) -> None:
        self._stream = stream
        self.digest = blake2b(digest_size=DIGEST_BYTES)
        self.size = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    def write(self, data: object) -> int:
        view = memoryview(data).cast("B")  # type: ignore[arg-type]  # Arrow hands over its buffers
        self.digest.update(view)
        self._stream.write(view)
        self.size += len(view)
        return len(view)


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    try:
        yield
    except SourceError as error:
        raise TableError(error.uri, error.problem) from error
    except (pa.ArrowException, OSError, EOFError) as error:
        raise TableError(uri, f"not a readable Parquet file ({error})") from error
    except TypeError as error:
        raise TableError(uri, str(error)) from error
