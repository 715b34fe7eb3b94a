"""What a column takes in the files of a table."""

import tempfile
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from operators.mine.dense import DenseIndex
from operators.storage import uri as store
from operators.storage.parquet import picked, write_shard

_FOOTERS = 8
"""Footers read side by side."""


def stored_bytes(table: pa.Table) -> float:
    """Bytes a row of all columns in the Parquet file that a table would hold, its footer aside."""
    with tempfile.TemporaryDirectory() as folder:
        shard = write_shard(folder, "run", "unit", table, {})
        footer = parquet.ParquetFile(Path(folder) / shard.path).metadata
    return _column_bytes(footer, table.column_names) / max(1, len(table))


def held_bytes(index: DenseIndex) -> float:
    """Bytes a row of what is searched, scales of codes included, in the files of its table."""
    paths = dict.fromkeys(atom.path for atom in index.atoms)
    with ThreadPoolExecutor(_FOOTERS) as pool:
        return sum(pool.map(partial(_bytes_in, index), paths)) / len(index)


def _bytes_in(index: DenseIndex, path: str) -> int:
    with picked(store.join(index.uri, path)) as file:
        return _column_bytes(file.metadata, index.column.names())


def _column_bytes(footer: parquet.FileMetaData, names: Collection[str]) -> int:
    chunks = (
        footer.row_group(group).column(place)
        for group in range(footer.num_row_groups)
        for place in range(footer.num_columns)
    )
    return sum(
        chunk.total_compressed_size
        for chunk in chunks
        if chunk.path_in_schema.partition(".")[0] in names
    )
