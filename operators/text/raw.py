"""Rows as a reader found them, before checks: what every format is turned into first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

from operators.text.source import Source


class BadRowError(ValueError):
    """Why one row cannot be used: a fixed kind, then `: ` and the detail."""


class Record(NamedTuple):
    """One row of a text file; `row` is the byte offset of its start, `size` its bytes."""

    row: int
    size: int
    id: str | None = None
    parts: tuple[str | None, ...] = ()
    kept: tuple[str | None, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Raw:
    """Rows of one table: the id, the columns that join to the text, kept columns, place, error."""

    ids: pa.Array
    parts: tuple[pa.Array, ...]
    kept: tuple[pa.Array, ...]
    files: pa.Array
    rows: pa.Array
    errors: pa.Array


def gather(source: Source, files: Sequence[str], records: Sequence[Record]) -> Raw:
    """Records of text files as columns; `files` names the file of each record."""
    return Raw(
        ids=_strings([record.id for record in records]),
        parts=_columns([record.parts for record in records], len(source.text)),
        kept=_columns([record.kept for record in records], len(source.keep)),
        files=_strings(files),
        rows=pa.array([record.row for record in records], pa.int64()),
        errors=_strings([record.error for record in records]),
    )


def check_unicode(value: str, column: str) -> str:
    """`value`, or BadRowError when it holds half a surrogate pair, which UTF-8 cannot store."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRowError(f"invalid surrogate: column {column!r}") from None
    return value


def _columns(rows: Sequence[tuple[str | None, ...]], width: int) -> tuple[pa.Array, ...]:
    return tuple(_strings([row[index] if row else None for row in rows]) for index in range(width))


def _strings(values: Sequence[str | None]) -> pa.Array:
    return pa.array(values, pa.string())
