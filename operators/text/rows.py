"""From source units to checked rows: mapping, text, hashes, and a reason for each bad row."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from operators import columns
from operators.text import read_csv, read_jsonl, read_parquet
from operators.text.checks import first_errors, scrub
from operators.text.hashes import content_hashes, shares
from operators.text.mapping import kept_field, plain, row_schema
from operators.text.places import relative, root_of
from operators.text.raw import Raw, Record, gather
from operators.text.source import UNIT_BYTES, Piece, Source, Unit

pc: Any = pyarrow.compute  # the stubs know neither Python scalars as operands nor every function


def read_unit(source: Source, unit: Unit) -> Iterator[tuple[int, pa.Table]]:
    """Yield (part, table): source_schema and `error`, in the order of the source.

    `source` is the one of the listing (`with_defaults`). A unit that `splits` gives parts of at
    most `unit_bytes` of text, the same at every read; each other unit gives part 0. SourceError
    when a file is damaged, changed or gone; the parts complete before the damage come first.
    """
    if unit.pieces[0].format == "parquet":
        yield 0, pa.concat_tables([_read_parquet(source, piece) for piece in unit.pieces])
        return
    bound = (source.unit_bytes or UNIT_BYTES) if unit.splits else None
    for part, (files, records) in enumerate(_parts(source, unit, bound)):
        yield part, text_rows(source, files, records)


def text_rows(source: Source, files: Sequence[str], records: Sequence[Record]) -> pa.Table:
    """Records of text files as checked rows; `files` names the file of each."""
    kept = [pa.field(name, pa.string()) for name in source.keep]
    return _mapped(source, kept, gather(source, files, records))


def parquet_rows(
    source: Source, file: str, table: pa.Table, numbers: npt.NDArray[np.int64]
) -> pa.Table:
    """Rows of one Parquet file as checked rows; `numbers` tells which row of the file each is."""
    kept = [kept_field(table.schema.field(name)) for name in source.keep]
    raw = Raw(
        ids=_as(table[source.id], pa.string()),
        parts=tuple(_as(table[name], pa.string()) for name in source.text),
        kept=tuple(_as(table[field.name], field.type) for field in kept),
        files=pa.repeat(pa.scalar(file), len(table)),
        rows=pa.array(numbers),
        errors=pa.nulls(len(table), pa.string()),
    )
    return _mapped(source, kept, raw)


def piece_records(source: Source, piece: Piece) -> Iterator[Record]:
    """The records of a piece of a text file, at most `max_rows` of them."""
    reader = read_csv.records if piece.format == "csv" else read_jsonl.records
    for count, record in enumerate(reader(source, piece)):
        if count == piece.max_rows:
            return
        yield record


def _parts(
    source: Source, unit: Unit, bound: int | None
) -> Iterator[tuple[list[str], list[Record]]]:
    """Group the unit's records; a part closes before the record that would exceed the bound."""
    root = root_of(source)
    files: list[str] = []
    records: list[Record] = []
    size = 0
    for piece in unit.pieces:
        place = relative(root, piece.uri)
        for record in piece_records(source, piece):
            if bound is not None and records and size + record.size > bound:
                yield files, records
                files, records, size = [], [], 0
            files.append(place)
            records.append(record)
            size += record.size
    yield files, records


def _read_parquet(source: Source, piece: Piece) -> pa.Table:
    if not source.text:
        return _as_it_is(source, read_parquet.read_rows(piece, ()))
    table = read_parquet.read_rows(piece, (source.id, *source.text, *source.keep))
    numbers = np.arange(piece.start, piece.start + len(table), dtype=np.int64)
    return parquet_rows(source, relative(root_of(source), piece.uri), table, numbers)


def _as_it_is(source: Source, table: pa.Table) -> pa.Table:
    """Rows of a table of our own, with no error: they were checked when it was made."""
    fields = [kept_field(field) for field in table.schema]
    made = [_as(table[field.name], field.type) for field in fields]
    made.append(pa.nulls(len(table), pa.string()))
    rows = pa.table(made, schema=pa.schema([*fields, columns.ERROR]))
    if source.sample >= 1:
        return rows
    return rows.filter(pa.array(shares(rows[columns.ID.name], source.seed) < source.sample))


def _as(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.Array:
    """One array of the wanted type; strings keep their bytes, valid or not, for `scrub` to find."""
    array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    cast: pa.Array = pc.cast(plain(array), wanted, safe=False)
    return cast


def _mapped(source: Source, fields: list[pa.Field], raw: Raw) -> pa.Table:
    """Check, join, normalise and hash; bad rows keep what locates them and lose the rest."""
    schema = row_schema(fields).append(columns.ERROR)
    if not len(raw.rows):
        return schema.empty_table()
    names = (source.id, *source.text, *source.keep)
    (ids, *rest), errors = scrub(names, (raw.ids, *raw.parts, *raw.kept), raw.errors)
    parts, kept = rest[: len(source.text)], rest[len(source.text) :]
    text = _joined(source, parts)
    errors = first_errors(ids, text, errors, source.max_text_bytes)
    good = errors.is_null()
    text, *kept = [
        pc.if_else(good, column, pa.scalar(None, column.type)) for column in (text, *kept)
    ]
    made = [ids, text, content_hashes(text), *kept, raw.files, raw.rows, errors]
    table = pa.table(made, schema=schema)
    return table if source.sample >= 1 else table.filter(_sampled(source, table))


def _joined(source: Source, parts: list[pa.Array]) -> pa.Array:
    """The text columns with the separator between those that hold something, normalised."""
    text = parts[0]
    for part in parts[1:]:  # Arrow's own null_handling="skip" loses rows that are null throughout
        both = pc.binary_join_element_wise(_filled(text), _filled(part), source.separator)
        text = pc.coalesce(both, _filled(text), _filled(part), text, part)
    if source.normalize != "none":
        text = pc.utf8_normalize(text, source.normalize)
    return text


def _filled(part: pa.Array) -> pa.Array:
    """Empty values as nulls."""
    filled: pa.Array = pc.if_else(pc.equal(part, ""), None, part)
    return filled


def _sampled(source: Source, table: pa.Table) -> pa.Array:
    """Which rows the sample keeps: by id, so cutting changes nothing; by place without one."""
    place = pc.binary_join_element_wise(
        table["source_file"], pc.cast(table["source_row"], pa.string()), "\0"
    )
    return pa.array(shares(pc.coalesce(table["id"], place), source.seed) < source.sample)
