"""JSON lines to records: one object a line, plain or compressed."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from operators.text.lines import Line, longest_line, piece_lines
from operators.text.raw import BadRowError, Record, check_unicode
from operators.text.source import Piece, Source

_KINDS = {bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object"}


def records(source: Source, piece: Piece) -> Iterator[Record]:
    """Every line of the piece that is not blank; what cannot be used carries its error."""
    return records_of(source, piece_lines(piece, longest_line(source)))


def records_of(source: Source, lines: Iterable[Line]) -> Iterator[Record]:
    """The records of lines, blank ones left out."""
    for line in lines:
        if line.data is None or line.data.strip():
            yield _record(source, line)


def parse_line(line: Line) -> dict[str, Any]:
    """The JSON object of a line; BadRowError says what is wrong with it."""
    if line.data is None:
        raise BadRowError(f"line is too long: {line.size} bytes")
    try:
        value = json.loads(line.data.decode())
    except UnicodeDecodeError as error:
        raise BadRowError(f"not UTF-8: byte {error.start} of the line") from None
    except RecursionError:
        raise BadRowError("not valid JSON: nested too deeply") from None
    except ValueError as error:
        raise BadRowError(f"not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRowError(f"not a JSON object: {_kind(value)}")
    return value


def _record(source: Source, line: Line) -> Record:
    name = None
    try:
        row = parse_line(line)
        name = _name(row.get(source.id), source.id)
        parts = tuple(_text(row.get(column), column) for column in source.text)
        kept = tuple(_kept(row.get(column), column) for column in source.keep)
    except BadRowError as error:
        return Record(line.offset, line.size, name, error=str(error))
    return Record(line.offset, line.size, name, parts, kept)


def _name(value: object, column: str) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _text(value, column)


def _text(value: object, column: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadRowError(f"not a string: column {column!r} is {_kind(value)}")
    return check_unicode(value, column)


def _kept(value: object, column: str) -> str | None:
    """A kept value as a string; what is not one becomes its JSON text."""
    if value is None or isinstance(value, str):
        return _text(value, column)
    return check_unicode(json.dumps(value, ensure_ascii=False), column)


def _kind(value: object) -> str:
    return "null" if value is None else _KINDS.get(type(value), "a string")
