"""The row groups of a committed vectors table: found by its log and footers, read one by one."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from operators import columns
from operators.mine.pool import DOCUMENTS
from operators.quantize.codes import vectors_of
from operators.quantize.kernels import BitVectors, SignVectors, Vectors
from operators.quantize.registry import scheme_class
from operators.storage import uri as store
from operators.storage.parquet import group_rows, read_group
from operators.storage.table import Table

_FOOTERS = 8
"""Footers read side by side."""


@dataclass(frozen=True)
class Atom:
    """One row group of a table's file: what is read at once, and never cut."""

    path: str
    group: int
    first_row: int
    """Its first row's number in the whole index."""
    rows: int


@dataclass(frozen=True)
class Coded:
    """A column of vectors and what decodes it."""

    field: pa.Field
    artefact: bytes

    @property
    def dim(self) -> int:
        return columns.dim_of(self.field)

    def names(self) -> list[str]:
        """The columns that hold the vectors: the codes, and their scales where they have some."""
        name, digest = columns.decoder_of(self.field)
        fields = scheme_class(name)().fields(self.dim, digest) if name else [self.field]
        return [field.name for field in fields]


def atoms_of(uri: str, version: int) -> tuple[Atom, ...]:
    """The row groups of a version that have rows, in the order of its files."""
    paths = [file.path for file in Table(uri).files(version)]
    found = []
    first = 0
    with ThreadPoolExecutor(_FOOTERS) as pool:
        for path, groups in zip(paths, pool.map(lambda p: group_rows(uri, p), paths), strict=True):
            for group, rows in enumerate(groups):
                if rows:
                    found.append(Atom(path, group, first, rows))
                first += rows
    return tuple(found)


def share(atom: Atom, rows: int, of: int) -> int:
    """Which of `of` parts an atom belongs to: by its middle row."""
    return (2 * atom.first_row + atom.rows) * of // (2 * rows)


def coded(uri: str, field: pa.Field) -> Coded:
    """The column with the artefact that its metadata names, fetched from the table's folder."""
    _, digest = columns.decoder_of(field)
    place = store.join(uri, "_corpusmill", "artefacts", f"{digest}.safetensors")
    return Coded(field, store.read_bytes(place) if digest else b"")


def read_vectors(uri: str, atom: Atom, column: Coded) -> Vectors:
    """The vectors of a row group, held as they are coded; bits are scored by what they stand for.

    TableError or ValueError where they cannot be read.
    """
    table = read_group(uri, atom.path, atom.group, column.names())
    named = [
        column.field if name == column.field.name else table.field(name)
        for name in table.column_names
    ]
    vectors = vectors_of(table.cast(pa.schema(named)), column.field.name, column.artefact)
    return scored(vectors)


def scored(vectors: Vectors) -> Vectors:
    """The vectors as they are ranked: bits by what they stand for, not by how many are equal."""
    return SignVectors(vectors) if isinstance(vectors, BitVectors) else vectors


def read_documents(uri: str, atom: Atom, names: Iterable[str] = DOCUMENTS.names) -> pa.Table:
    """The named columns of DOCUMENTS of a row group; null where the table has them not."""
    wanted = list(names)
    table = read_group(uri, atom.path, atom.group, wanted)
    made = [
        table[name].cast(DOCUMENTS.field(name).type)
        if name in table.column_names
        else pa.chunked_array([pa.nulls(atom.rows, DOCUMENTS.field(name).type)])
        for name in wanted
    ]
    return pa.table(made, schema=pa.schema([DOCUMENTS.field(name) for name in wanted]))


def ahead(vectors: Iterator[Vectors]) -> Iterator[Vectors]:
    """The same blocks, the next one read by a thread while this one is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, vectors, None)
        while (block := coming.result()) is not None:
            coming = pool.submit(next, vectors, None)
            yield block
            del block
