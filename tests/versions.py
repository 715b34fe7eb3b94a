"""Small tables with several versions, committed without any run."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from operators import columns
from operators.storage.parquet import Shard, write_shard
from operators.storage.table import Table

Row = Mapping[str, object]


def schema(dim: int = 2) -> pa.Schema:
    """Columns of a vectors table with its locators and a passthrough column."""
    return pa.schema(
        [
            columns.ID,
            columns.CONTENT_HASH,
            columns.embedding(dim),
            pa.field("tags", pa.list_(pa.string())),
            columns.SOURCE_FILE,
            columns.SOURCE_ROW,
        ]
    )


def row(name: str, text: str = "", dim: int = 2, place: int = 0) -> Row:
    """One row; another text is another hash and another vector."""
    return {
        "id": name,
        "content_hash": (text or name).encode().ljust(16, b"-")[:16],
        "embedding": [float(len(text) + n) for n in range(dim)],
        "tags": [text] if text else None,
        "source_file": "a.jsonl",
        "source_row": place,
    }


def shard(table: str, run: str, unit: str, rows: Sequence[Row], dim: int = 2) -> Shard:
    """A staged file of rows, with the fingerprint that our runs leave in a file."""
    notes = {"corpusmill.fingerprint": "recipe", "corpusmill.unit": unit}
    return write_shard(
        table, run, unit, pa.Table.from_pylist(list(rows), schema=schema(dim)), notes
    )


def commit(
    table: str, shards: Sequence[Shard], dim: int = 2, key: str = "", **lineage: object
) -> int:
    """The next version: these files and no other."""
    target = Table(table)
    parent = target.version()
    counts = {"rows_out": sum(each.rows for each in shards)}
    record = {"recipe": "recipe", "counts": counts} | lineage
    return target.commit(parent, schema(dim), shards, record, key or f"key{parent + 1}")
