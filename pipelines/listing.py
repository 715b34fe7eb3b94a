"""What a source holds now: its files, format, schema, size, and a digest of all of it."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice

import pyarrow as pa

from operators.errors import ContractError, DamageError, SourceError
from operators.storage import uri as store
from operators.storage.bulk import PARALLEL, range_reader
from operators.text import read_csv
from operators.text.lines import Line, longest_line, piece_lines
from operators.text.mapping import source_schema
from operators.text.places import relative, root_of
from operators.text.raw import BadRowError
from operators.text.read_jsonl import parse_line
from operators.text.read_parquet import Footer, Read, read_footer
from operators.text.rows import piece_records
from operators.text.source import Piece, Source, with_defaults
from pipelines.finding import Kind, find

_HEAD = 1000
"""Lines of JSON in which a column must be seen once to count as being there."""


@dataclass(frozen=True)
class Listing:
    """One look at a source. `source` has its defaults and version filled in: read with that one."""

    source: Source
    root: str
    """What `source_file` is relative to."""
    kind: Kind
    """How its files are read."""
    files: tuple[store.File, ...]
    footers: tuple[Footer, ...]
    """One a file for Parquet, else none."""
    file_schema: pa.Schema
    schema: pa.Schema
    """The columns of its good rows."""
    size: int
    """Bytes as they are stored."""
    rows: int
    """Rows, -1 where only reading tells."""
    version: int
    """Version of a Delta table, -1 for files."""
    snapshot: str
    """128-bit digest in hex of the version and of every file's relative path, size and version."""


def list_source(source: Source) -> Listing:
    """List once and check what can be checked without reading rows.

    SourceError when there is nothing, or several formats, or every file is damaged; ContractError
    or ConfigError when its columns are not what the source names. Footers and CSV headers of all
    files are read side by side; of JSON lines the first thousand of the first file that has any.
    """
    found = find(source)
    as_it_is = found.format == "delta" and "text" not in found.columns
    named = replace(source, uri=store.absolute(source.uri))
    named = with_defaults(named, found.format, as_it_is=as_it_is)
    named = replace(named, version=found.version)
    footers: list[Footer] = []
    if found.kind == "parquet":
        footers = _footers(named, found.files, found.columns)
        schema = footers[0].schema
    else:
        pieces = [whole_piece(found.kind, file) for file in found.files if file.size]
        schema = _csv_schema(named, pieces) if found.kind == "csv" else _json_schema(named, pieces)
        if found.format == "beir" and not source.text:  # queries have no titles
            schema = _strings([*schema.names, *named.text[:-1]])
    root = root_of(named)
    return Listing(
        source=named,
        root=root,
        kind=found.kind,
        files=found.files,
        footers=tuple(footers),
        file_schema=schema,
        schema=source_schema(named, schema),
        size=sum(file.size for file in found.files),
        rows=sum(sum(footer.rows) for footer in footers) if footers else -1,
        version=found.version,
        snapshot=_snapshot(root, found.version, found.files),
    )


def whole_piece(kind: Kind, file: store.File) -> Piece:
    """A whole text file as one piece."""
    return Piece(file.uri, kind, file.version, file.size, 0, file.size)


def _footers(source: Source, files: Sequence[store.File], every: Sequence[str]) -> list[Footer]:
    if not files:  # of a Delta table; of a folder finding says so
        raise SourceError(source.uri, "it holds no rows")
    names = (source.id, *source.text, *source.keep) if source.text else every
    read = range_reader(files[0].uri)
    with ThreadPoolExecutor(PARALLEL) as pool:
        found = list(pool.map(lambda file: _footer_or_damage(file, names, read), files))
    whole = [footer for footer in found if isinstance(footer, Footer)]
    if not any(sum(footer.rows) for footer in whole):
        damage = [each for each in found if isinstance(each, DamageError)]
        raise damage[0] if damage else SourceError(source.uri, "it holds no rows")
    broken = Footer(whole[0].schema, (), (), damaged=True)
    footers = [each if isinstance(each, Footer) else broken for each in found]
    wanted = source_schema(source, footers[0].schema)
    for file, footer in zip(files, footers, strict=True):
        if not footer.schema.equals(footers[0].schema):
            _check_alike(source, wanted, file, footer)
    return footers


def _footer_or_damage(file: store.File, names: Sequence[str], read: Read) -> Footer | DamageError:
    try:
        return read_footer(file, names, read)
    except DamageError as error:
        return error


def _check_alike(source: Source, wanted: pa.Schema, file: store.File, footer: Footer) -> None:
    """The file must give the columns that the first file gives."""
    try:
        given = source_schema(source, footer.schema)
    except ContractError as error:
        raise replace(error, found=f"{error.found} in {file.uri}") from None
    for field in wanted:
        other = given.field(field.name).type
        if other != field.type:
            found = f"{field.name} as {other} in {file.uri}"
            raise ContractError("read", field.name, f"{field.type} as in the first file", found)


def _csv_schema(source: Source, pieces: Sequence[Piece]) -> pa.Schema:
    with ThreadPoolExecutor(PARALLEL) as pool:
        found = list(pool.map(lambda piece: _header_or_damage(source, piece), pieces))
    headers = {p: names for p, names in zip(pieces, found, strict=True) if isinstance(names, tuple)}
    if all(next(piece_records(source, piece), None) is None for piece in headers):
        damage = [names for names in found if isinstance(names, DamageError)]
        raise damage[0] if damage else SourceError(source.uri, "it holds no rows")
    for piece, names in headers.items():
        read_csv.positions(source, piece.uri, names)
    return _strings(next(iter(headers.values())))


def _header_or_damage(source: Source, piece: Piece) -> tuple[str, ...] | DamageError:
    try:
        return read_csv.header(source, piece)[1]
    except DamageError as error:
        return error


def _json_schema(source: Source, pieces: Sequence[Piece]) -> pa.Schema:
    """The keys of the first file that has an object in its first lines.

    A damaged file does not hide the others: its unit will fail by name.
    """
    failure = SourceError(source.uri, "it holds no rows")
    for piece in pieces:
        keys: dict[str, None] = {}
        try:
            for line in islice(piece_lines(piece, longest_line(source)), _HEAD):
                problem = _take_keys(line, keys)
                failure = SourceError(piece.uri, problem) if problem else failure
        except SourceError as error:
            failure = error
        if keys:
            return _strings(list(keys))
    raise failure


def _take_keys(line: Line, keys: dict[str, None]) -> str:
    """Add the keys of a line's object; what is wrong when there is none."""
    if line.data is not None and not line.data.strip():
        return ""
    try:
        keys.update(dict.fromkeys(parse_line(line)))
    except BadRowError as error:
        return f"none of its first {_HEAD} lines is a JSON object ({error})"
    return ""


def _strings(names: Sequence[str]) -> pa.Schema:
    return pa.schema([pa.field(name, pa.string()) for name in dict.fromkeys(names)])


def _snapshot(root: str, version: int, files: Sequence[store.File]) -> str:
    entries = sorted((relative(root, file.uri), file.size, file.version) for file in files)
    told = json.dumps([version, entries], ensure_ascii=False)
    return hashlib.blake2b(told.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
