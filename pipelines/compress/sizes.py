"""What a column takes in the files of a table."""

import tempfile
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from operators.storage.parquet import write_shard


def stored_bytes(table: pa.Table) -> float:
    """Bytes a row of all columns in the Parquet file that a table would hold, its footer aside."""
    with tempfile.TemporaryDirectory() as folder:
        shard = write_shard(folder, "run", "unit", table, {})
        groups = parquet.ParquetFile(Path(folder) / shard.path).metadata
        sizes = [
            groups.row_group(group).column(column).total_compressed_size
            for group in range(groups.num_row_groups)
            for column in range(groups.num_columns)
        ]
    return sum(sizes) / max(1, len(table))
