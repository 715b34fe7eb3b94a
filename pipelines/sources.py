"""The source files behind a version, kept beside its table: what a later run may skip."""

from collections.abc import Collection

import pyarrow as pa

from operators.storage import uri as store
from operators.storage.parquet import read_shard, write_rows
from operators.text.places import relative
from pipelines.fingerprint import digest
from pipelines.listing import Listing

FOLDER = "_corpusmill/sources"
Known = dict[str, tuple[int, str]]
"""Size and version of each source file, by its path in the source."""


def files_of(listing: Listing) -> Known:
    """The files that a source holds now."""
    return {relative(listing.root, f.uri): (f.size, f.version) for f in listing.files}


def write_sources(table: str, known: Known, without: Collection[str]) -> str:
    """Store what a version was made of, less the files that a later run must read again.

    Returns the path in the table. The same files give the same path.
    """
    kept = sorted((name, *found) for name, found in known.items() if name not in without)
    columns = list(zip(*kept, strict=True)) or [(), (), ()]
    types = (pa.string(), pa.int64(), pa.string())
    arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
    path = f"{FOLDER}/{digest(kept)}.parquet"
    write_rows(store.join(table, path), pa.table(arrays, names=["file", "size", "version"]))
    return path


def read_sources(table: str, path: str) -> Known:
    """What `write_sources` stored; TableError when it is gone."""
    found = read_shard(table, path)
    rows = zip(*(found[name].to_pylist() for name in ("file", "size", "version")), strict=True)
    return {name: (size, version) for name, size, version in rows}
