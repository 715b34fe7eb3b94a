"""Small sources of every format, and reading one from listing to rows as a run does."""

import csv
import gzip
import io
import json
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from operators.storage import uri as store
from operators.text.rows import read_unit
from operators.text.source import Source, Unit
from pipelines.listing import Listing, list_source
from pipelines.units import cut_units

Row = tuple[str | None, str | None]
FORMATS = ("parquet", "jsonl", "jsonl.gz", "jsonl.zst", "csv", "csv.gz", "tsv")


def encode(form: str, rows: Sequence[Row], group: int = 3) -> bytes:
    """Rows of id and text as a file of that format; CSV has no null, so a null is left empty."""
    kind, _, packed = form.partition(".")
    if kind == "parquet":
        data = parquet(rows_table(rows), group)
    elif kind == "jsonl":
        data = b"".join(json.dumps({"id": a, "text": b}).encode() + b"\n" for a, b in rows)
    else:
        out = io.StringIO(newline="")
        writer = csv.writer(out, delimiter="\t" if kind == "tsv" else ",", lineterminator="\r\n")
        writer.writerows([("id", "text"), *rows])
        data = out.getvalue().encode()
    if packed == "gz":
        return gzip.compress(data, mtime=0)
    return zstandard.compress(data) if packed == "zst" else data


def parquet(table: pa.Table, group: int = 3) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=group)
    return out.getvalue()


def rows_table(rows: Sequence[Row]) -> pa.Table:
    return pa.table({"id": _strings(rows, 0), "text": _strings(rows, 1)})


def put(folder: str, **files: bytes) -> str:
    """Write files named by keyword, `__` standing for a dot; returns the folder."""
    for name, data in files.items():
        store.write_bytes(store.join(folder, name.replace("__", ".")), data)
    return folder


def planned(source: Source) -> tuple[Listing, tuple[Unit, ...]]:
    listing = list_source(source)
    return listing, cut_units(listing.source, listing)


def read(source: Source) -> pa.Table:
    """Every row of a source, through listing, cutting and reading."""
    listing, units = planned(source)
    return pa.concat_tables(
        [table for unit in units for _, table in read_unit(listing.source, unit)]
    )


def cut(source: Source, unit_bytes: int) -> Source:
    return replace(source, unit_bytes=unit_bytes)


def _strings(rows: Sequence[Row], column: int) -> pa.Array:
    return pa.array([row[column] for row in rows], pa.string())
