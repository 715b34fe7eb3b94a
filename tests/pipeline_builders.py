"""Builders of small corpora and pipelines, and readers of the tables they become."""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from operators.storage import uri as store
from operators.storage.parquet import read_shard
from operators.storage.receipts import RunFolder
from operators.storage.table import Table
from pipelines.config import parse
from pipelines.spec import Pipeline

Row = Mapping[str, object]
UNIT_BYTES = 1500
"""Small, so that a corpus of some tens of rows has several units."""


def good_rows(start: int, stop: int) -> list[Row]:
    """Rows `d0007` whose texts differ in length and words."""
    return [
        {"id": f"d{n:04d}", "text": f"passage {n} of the corpus " + "and so on " * (n % 5)}
        for n in range(start, stop)
    ]


def lines(rows: Iterable[Row]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def packed_lines(rows: Iterable[Row]) -> bytes:
    return gzip.compress(lines(rows), mtime=0)


def write_files(folder: str, files: Mapping[str, bytes]) -> str:
    """Put files in a folder of any store; the folder."""
    for name, data in files.items():
        store.write_bytes(store.join(folder, name), data)
    return folder


def vectors_phase(source: str, table: str, **parts: Mapping[str, Any]) -> dict[str, Any]:
    """The `vectors` phase as a config says it; `read`, `encode`, `quantize`, `gate` add fields."""
    return {
        "read": {"uri": source, "unit_bytes": UNIT_BYTES, **parts.get("read", {})},
        "steps": [
            {"tokenize": {"model": "tiny", **parts.get("tokenize", {})}},
            {"encode": {"model": "tiny", **parts.get("encode", {})}},
            {"quantize": {"scheme": "int8", **parts.get("quantize", {})}},
        ],
        "write": {"table": table, "gate": {**parts.get("gate", {})}},
    }


def config(model: Path | str, **phases: dict[str, Any]) -> str:
    """The YAML of phases whose model is called `tiny`."""
    return yaml.safe_dump({"models": {"tiny": {"path": str(model)}}, "phases": phases})


def built(model: Path | str, **phases: dict[str, Any]) -> Pipeline:
    return parse(config(model, **phases))


def rows_of(table: str, version: int | None = None) -> pa.Table:
    """Every row of a version, sorted by id."""
    return pa.concat_tables(Table(table).read(version=version)).sort_by("id")


def ids_of(table: str, version: int | None = None) -> list[str]:
    return rows_of(table, version)["id"].to_pylist()


def lineage_of(table: str) -> dict[str, Any]:
    record = Table(table).lineage()
    assert record is not None
    return record


def quarantined(table: str) -> set[tuple[str | None, str]]:
    """(id, kind of reason) of the quarantined rows that the newest commit names."""
    files = [read_shard(table, path) for path in lineage_of(table)["quarantine_files"]]
    found: set[tuple[str | None, str]] = set()
    for file in files:
        kinds: Any = pc.replace_substring_regex(file["error"], "(?s):.*", "")
        found |= set(zip(file["id"].to_pylist(), kinds.to_pylist(), strict=True))
    return found


def run_folder(table: str) -> RunFolder:
    """The bookkeeping of the run that made the newest version."""
    return RunFolder(table, lineage_of(table)["run_key"])


def same_columns(one: pa.Table, other: pa.Table, names: Sequence[str]) -> bool:
    return all(one[name].equals(other[name]) for name in names)


def equal_tables(one: str, other: str) -> bool:
    """Whether two tables hold the same: floats to what another packing may move, all else equal."""
    a, b = rows_of(one), rows_of(other)
    if a.schema.names != b.schema.names or len(a) != len(b):
        return False
    floats = {field.name for field in a.schema if _of_floats(field.type)}
    rest = [name for name in a.schema.names if name not in floats]
    return same_columns(a, b, rest) and all(_close(a[name], b[name]) for name in floats)


def _of_floats(kind: pa.DataType) -> bool:
    inner: pa.DataType = kind.value_type if pa.types.is_list(kind) else kind
    return pa.types.is_floating(inner)


def _close(a: pa.ChunkedArray, b: pa.ChunkedArray) -> bool:
    if pa.types.is_list(a.type):
        same = pc.list_value_length(a).equals(pc.list_value_length(b))
        return same and _close(pc.list_flatten(a), pc.list_flatten(b))
    return np.allclose(a.to_numpy(), b.to_numpy(), rtol=1e-5, atol=1e-6)
