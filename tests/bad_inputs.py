"""The table of bad input: rows that are set aside, sources that cannot become a version."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.pipeline_builders import good_rows, lines, packed_lines

GOOD = good_rows(0, 12)
GOOD_IDS = [str(row["id"]) for row in GOOD]
HALF_A_PAIR = b'{"id": "half", "text": "half a pair \\ud800"}\n'
MILLION = 1_000_000


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


GOOD_FILE = parquet(id=GOOD_IDS, text=[row["text"] for row in GOOD])
GOOD_LINES = lines(GOOD)
MORE_LINES = packed_lines(good_rows(12, 20))
BAD_BYTES = pa.array([b"fine \xe4", b"fine too"]).view(pa.string())


@dataclass(frozen=True)
class Row:
    """A bad row: what quarantine calls it."""

    line: bytes
    id: str | None
    reason: str


ROWS = {
    "null text": Row(b'{"id": "x", "text": null}\n', "x", "text is null"),
    "empty text": Row(b'{"id": "x", "text": ""}\n', "x", "text is empty"),
    "whitespace": Row(b'{"id": "x", "text": " \\n\\t\\u00a0 "}\n', "x", "text is empty"),
    "null id": Row(b'{"id": null, "text": "somebody"}\n', None, "id is null"),
    "text of more than a megabyte": Row(
        b'{"id": "x", "text": "%s"}\n' % (b"word " * 200_001), "x", "text is too long"
    ),
    "half a surrogate pair": Row(HALF_A_PAIR, "half", "invalid surrogate"),
    "not UTF-8": Row(b'{"id": "x", "text": "\xff"}\n', None, "not UTF-8"),
    "not JSON": Row(b'{"id": "x", "te\n', None, "not valid JSON"),
    "a number as text": Row(b'{"id": "x", "text": 5}\n', "x", "not a string"),
    "an id for the second time": Row(lines(GOOD[3:4]), "d0003", "duplicate id"),
}


@dataclass(frozen=True)
class Source:
    """A source that cannot become a version: its files, how it is read, what is said."""

    files: Mapping[str, bytes]
    code: int
    phrase: str
    read: Mapping[str, Any] = field(default_factory=dict)
    gate: Mapping[str, Any] = field(default_factory=dict)


SOURCES = {
    "a column is missing": Source(
        {"a.parquet": parquet(id=["a"], body=["x"])},
        2,
        "read needs column 'text' as string, but its input has only id, body",
    ),
    "a column is missing in one file": Source(
        {"a.parquet": GOOD_FILE, "b.parquet": parquet(id=["a"], body=["x"])},
        2,
        "only id, body in",
    ),
    "text is a number": Source(
        {"a.parquet": parquet(id=["a"], text=[1.5])}, 2, "as string, but its input has text as"
    ),
    "id is a list": Source(
        {"a.parquet": parquet(id=[["a"]], text=["x"])}, 2, "'id' as string or integer"
    ),
    "a corrupt Parquet file": Source(
        {"a.parquet": GOOD_FILE[:-7]}, 1, "not a Parquet file, or cut"
    ),
    "a corrupt Parquet file among good ones": Source(
        {"a.parquet": GOOD_FILE, "broken.parquet": GOOD_FILE[:-7]},
        4,
        "broken.parquet: the file is damaged or cut short",
    ),
    "a corrupt page of a Parquet file": Source(
        {"a.parquet": GOOD_FILE[:40] + b"\0" * 200 + GOOD_FILE[240:]}, 4, "a.parquet"
    ),
    "something else called Parquet": Source(
        {"a.parquet": b"a page of text, not a table"}, 1, "a.parquet: not a Parquet file"
    ),
    "a gzip file cut short": Source(
        {"a.jsonl.gz": MORE_LINES[:-20]}, 1, "a.jsonl.gz: the file is damaged or cut short"
    ),
    "a gzip file cut short among good ones": Source(
        {"a.jsonl": GOOD_LINES, "broken.jsonl.gz": MORE_LINES[:-20]},
        4,
        "broken.jsonl.gz: the file is damaged or cut short",
    ),
    "no file": Source({}, 1, "no such file, folder or glob, or nothing in it"),
    "a glob that fits nothing": Source(
        {"a.jsonl": GOOD_LINES}, 1, "no such file", read={"uri": "*.parquet"}
    ),
    "files without rows": Source({"a.jsonl": b"\n\n", "b.jsonl": b""}, 1, "it holds no rows"),
    "a table without rows": Source(
        {"a.parquet": parquet(id=pa.array([], pa.string()), text=pa.array([], pa.string()))},
        1,
        "it holds no rows",
    ),
    "files of two formats": Source(
        {"a.jsonl": GOOD_LINES, "b.parquet": GOOD_FILE}, 1, "1 jsonl, 1 parquet; name the files"
    ),
    "only bad rows": Source({"a.jsonl": ROWS["null text"].line * 3}, 4, "no row is left"),
    "more bad rows than allowed": Source(
        {"a.jsonl": GOOD_LINES + ROWS["null text"].line},
        4,
        "1 of 13 rows quarantined (1 × text is null), more than max_bad_rows 0.01",
    ),
    "fewer rows than asked for": Source(
        {"a.jsonl": GOOD_LINES}, 4, "12 rows, fewer than min_rows 100", gate={"min_rows": 100}
    ),
}
