"""Files of judgments as tables with the columns that the file names."""

import csv
import json
import re
from collections.abc import Callable
from io import BytesIO
from typing import Any, Literal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from operators.storage import uri as store

Format = Literal["beir", "trec", "csv", "jsonl", "parquet"]

_SUFFIXES: dict[str, Format] = {
    "parquet": "parquet",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "csv": "csv",
}
_COMPRESSION: dict[str, Literal["gzip", "zstd"]] = {"gz": "gzip", "zst": "zstd"}
_TREC = ("query-id", "iteration", "corpus-id", "score")


def read_file(uri: str, form: Literal["auto"] | Format) -> pa.Table:
    """The whole file; SourceError where it cannot be read as that format.

    `auto` goes by the name; other text is TREC's where its first line has four columns and a
    grade in the last, else BEIR's.
    """
    with store.explained(uri):
        with store.open_input(uri) as stream:
            data = stream.read()
        if packed := _COMPRESSION.get(uri.rpartition(".")[2].lower()):
            data = pa.CompressedInputStream(pa.BufferReader(data), packed).read()
        return _READERS[_format(uri, data) if form == "auto" else form](data)


def _format(uri: str, data: bytes) -> Format:
    ends = uri.lower().rpartition("/")[2].split(".")[1:]
    known = [_SUFFIXES[end] for end in ends[-2:] if end in _SUFFIXES]
    if known:
        return known[-1]
    first = data.partition(b"\n")[0].split()
    graded = len(first) == len(_TREC) and re.fullmatch(rb"[-+]?[0-9.]+", first[-1])
    return "trec" if graded else "beir"


def _beir(data: bytes) -> pa.Table:
    return _delimited(data, "\t")


def _csv(data: bytes) -> pa.Table:
    return _delimited(data, ",")


def _trec(data: bytes) -> pa.Table:
    """Query, iteration, document, grade, by spaces or tabs; no header."""
    return _delimited(re.sub(rb"[ \t]+", b"\t", data), "\t", _TREC)


def _delimited(data: bytes, delimiter: str, names: tuple[str, ...] = ()) -> pa.Table:
    """Every value as text, so that ids keep their zeros."""
    header = list(names) or _header(data, delimiter)
    read = pa.csv.ReadOptions(column_names=header, skip_rows=0 if names else 1, use_threads=False)
    parse = pa.csv.ParseOptions(delimiter=delimiter, quote_char='"' if delimiter == "," else False)
    convert = pa.csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()))
    return pa.csv.read_csv(BytesIO(data), read, parse, convert)


def _header(data: bytes, delimiter: str) -> list[str]:
    first = data.partition(b"\n")[0].decode("utf-8-sig").strip()
    if not first:
        raise ValueError("its first line is empty; it should name the columns")
    return next(csv.reader([first], delimiter=delimiter))


def _jsonl(data: bytes) -> pa.Table:
    """One object a line; a column is text or numbers throughout."""
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        row = json.loads(line)
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is not a JSON object")
        rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _values(name, [row.get(name) for row in rows]) for name in names})


def _values(name: str, values: list[Any]) -> pa.Array:
    try:
        array: pa.Array = pa.array(values)
    except pa.ArrowException as error:
        raise ValueError(f"{name} is not text, or a number, in every line") from error
    return array


def _parquet(data: bytes) -> pa.Table:
    return pq.read_table(pa.BufferReader(data))


_READERS: dict[Format, Callable[[bytes], pa.Table]] = {
    "beir": _beir,
    "trec": _trec,
    "csv": _csv,
    "jsonl": _jsonl,
    "parquet": _parquet,
}
