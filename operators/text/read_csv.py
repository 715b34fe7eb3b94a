"""CSV and TSV to records: a header line, then one record a line unless the source says else."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from operators.errors import ContractError, SourceError
from operators.text.lines import Line, longest_line, piece_lines
from operators.text.raw import BadRowError, Record, check_unicode
from operators.text.source import Piece, Source

_HINT = "if values hold line breaks, set newlines_in_values"
Row = tuple[int, int, list[str] | BadRowError]
"""Where a record starts, its bytes, and its fields or why there are none."""


def records(source: Source, piece: Piece) -> Iterator[Record]:
    """Every record of the piece but the header; what cannot be used carries its error."""
    return records_of(source, piece, piece_lines(piece, longest_line(source)))


def records_of(source: Source, piece: Piece, lines: Iterable[Line]) -> Iterator[Record]:
    """The records of lines of the piece's file, but the header."""
    start, names = header(source, replace(piece, start=0, stop=piece.size))
    columns = positions(source, piece.uri, names) if names else ()
    for offset, size, fields in _rows(source, piece, lines):
        if offset > start:
            yield _record(source, columns, len(names), (offset, size, fields))


@lru_cache(maxsize=64)
def header(source: Source, piece: Piece) -> tuple[int, tuple[str, ...]]:
    """Where the header of the piece's file starts, and its column names."""
    rows = _rows(source, piece, piece_lines(piece, longest_line(source)))
    offset, _, names = next(rows, (0, 0, []))
    if isinstance(names, BadRowError):
        raise SourceError(piece.uri, f"the header cannot be read: {names}")
    if len(set(names)) != len(names):
        raise SourceError(piece.uri, f"the header names a column twice: {', '.join(names)}")
    return offset, tuple(names)


def positions(source: Source, uri: str, names: Sequence[str]) -> tuple[int, ...]:
    """Where the source's columns stand in the header; ContractError where one lacks."""
    found = {name: index for index, name in enumerate(names)}
    for column in (source.id, *source.text, *source.keep):
        if column not in found:
            raise ContractError("read", column, "string", f"only {', '.join(names)} in {uri}")
    return tuple(found[column] for column in (source.id, *source.text, *source.keep))


def _rows(source: Source, piece: Piece, lines: Iterable[Line]) -> Iterator[Row]:
    # 128 KiB by default; of the process, so set before each use
    csv.field_size_limit(longest_line(source))
    delimiter = "\t" if ".tsv" in piece.uri.lower()[-9:] else ","
    if source.newlines_in_values:
        return _records_over_lines(lines, delimiter)
    return (
        (line.offset, line.size, _fields(line, delimiter)) for line in lines if not _is_blank(line)
    )


def _is_blank(line: Line) -> bool:
    return line.data is not None and not line.data.strip(b" \r")


def _fields(line: Line, delimiter: str) -> list[str] | BadRowError:
    if line.data is None:
        return BadRowError(f"line is too long: {line.size} bytes")
    text = line.data.removesuffix(b"\r").decode(errors="surrogateescape")
    try:
        return next(csv.reader((text,), delimiter=delimiter, strict=True))
    except csv.Error as error:
        return BadRowError(f"not valid CSV: {error}; {_HINT}")


def _records_over_lines(lines: Iterable[Line], delimiter: str) -> Iterator[Row]:
    """Records that may span lines; one that cannot be parsed ends where the parser gave up."""
    taken: list[Line] = []

    def texts() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield (line.data or b"").decode(errors="surrogateescape") + "\n"

    reader = csv.reader(texts(), delimiter=delimiter, strict=True)
    while True:
        taken.clear()
        fields: list[str] | BadRowError
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fields = BadRowError(f"not valid CSV: {error}")
        size = sum(line.size + 1 for line in taken) - 1
        if any(line.data is None for line in taken):
            fields = BadRowError(f"line is too long: {size} bytes")
        if len(taken) > 1 or not _is_blank(taken[0]):
            yield taken[0].offset, size, fields


def _record(source: Source, columns: tuple[int, ...], width: int, row: Row) -> Record:
    offset, size, fields = row
    name = None
    try:
        first, *others = _values(fields, columns, width)
        name = _valid(first, source.id)
        names = (*source.text, *source.keep)
        rest = [_valid(value, column) for value, column in zip(others, names, strict=True)]
    except BadRowError as error:
        return Record(offset, size, name, error=str(error))
    cut = len(source.text)
    return Record(offset, size, name, tuple(rest[:cut]), tuple(rest[cut:]))


def _values(fields: list[str] | BadRowError, columns: tuple[int, ...], width: int) -> list[str]:
    if isinstance(fields, BadRowError):
        raise fields
    if len(fields) != width:
        count = f"{len(fields)} where the header has {width}"
        raise BadRowError(f"wrong number of fields: {count}; {_HINT}")
    return [fields[column] for column in columns]


def _valid(value: str, column: str) -> str:
    try:
        return check_unicode(value, column)
    except BadRowError:  # bytes that are not UTF-8 were decoded to lone surrogates
        raise BadRowError(f"not UTF-8: column {column!r}") from None
