"""Tables with a row to be erased in all the places where a row can be."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from operators.storage import uri as files
from operators.storage.keys import write_keys
from operators.storage.parquet import write_rows
from operators.storage.receipts import Receipt, RunFolder
from operators.storage.table import Table
from pipelines.erase import Request, erase, plan_erasure, prove
from tests.versions import Row, commit, row, schema, shard

NAME, PASSAGE = "erase-me", "erase-me#0123456789abcdef-2"
EXAMPLES = {"kept_examples": [{"query_id": NAME, "score": 1}, {"query_id": "a", "score": 1}]}


def erased(table: str, *ids: str, **options: Any) -> int:
    """Erase and prove it; the version that came of it."""
    planned = plan_erasure(Request(table, ids, **options))
    version = erase(planned)
    prove(planned)
    return version


def everything(table: str) -> dict[str, bytes]:
    """Every object under a table as bytes that can be searched, Parquet as its rows."""
    found = {}
    for name, _ in files.list_ages(table, deep=True):
        data = files.read_bytes(files.join(table, name))
        if name.endswith(".parquet"):
            data = repr(pq.read_table(pa.BufferReader(data)).to_pylist()).encode()
        found[name] = data
    return found


def holders(table: str, name: str = NAME) -> list[str]:
    return sorted(path for path, data in everything(table).items() if name.encode() in data)


def stage(table: str, run: str, rows: list[Row], status: str = "running") -> None:
    """What a run leaves before its commit: shard, keys, quarantine, receipt, registry entry."""
    written = shard(table, run, "u9", rows)
    folder = RunFolder(table, run)
    folder.register({"phase": "vectors", "status": status})
    folder.mark_attempt("u9", "unit")
    write_keys(folder, "u9", pa.Table.from_pylist(list(rows), schema=schema()), 2)
    bad = pa.table({"id": [NAME, "a"], "error": ["text is null", "text is null"]})
    write_rows(files.join(table, f"_quarantine/{run}/u9.parquet"), bad)
    quarantine = f"_quarantine/{run}/u9.parquet"
    folder.write_receipt(Receipt("u9", (written,), quarantine, 2, 1, 0, 0, {}, 0, 0, 0, {}))


def built(place: str, **lineage: object) -> str:
    """Three versions: the rows, one file rewritten, the erased row gone again from one of two."""
    kept = shard(place, "r0", "u0", [row("x"), row("y")])
    commit(place, [kept, shard(place, "r0", "u1", [row("a"), row(NAME), row("b")])], **lineage)
    stage(place, "r1", [row(NAME), row("a")], "committed")
    commit(place, [kept, shard(place, "r1", "u1", [row("a"), row(NAME, "new"), row("b")])])
    files.write_bytes(f"{place}/_corpusmill/artefacts/learned.safetensors", b"\x00\x01")
    last = [row("a"), row(PASSAGE), row("b", "c")]
    quarantined = {"quarantine_files": ["_quarantine/r1/u9.parquet"]}
    commit(place, [kept, shard(place, "r2", "u1", last)], **quarantined)
    stage(place, "r3", [row(NAME)])
    return place


def ids_of(table: str, version: int | None = None) -> list[str]:
    return sorted(
        name for part in Table(table).read(["id"], version) for name in part["id"].to_pylist()
    )
