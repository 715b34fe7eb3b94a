"""A committed vectors table as an index: which rows it has, and a part of them that is searched."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from operators import columns
from operators.errors import ContractError, TableError
from operators.mine.groups import (
    Atom,
    Coded,
    ahead,
    atoms_of,
    coded,
    read_documents,
    read_vectors,
    share,
)
from operators.mine.pool import DOCUMENTS, Asked, Places, Scores, found_among
from operators.mine.rough import Bounds
from operators.mine.ties import by_id, settle
from operators.mine.topk import Hits, level, topk
from operators.quantize.codes import FINEST_FIRST
from operators.quantize.dots import dots_of_any
from operators.quantize.kernels import Matrix, Rows, Vectors
from operators.quantize.prefix import asked_of
from operators.storage.table import Table

pc: Any = pyarrow.compute  # the stubs do not know every function

_MORE = 16
"""Hits beyond k that are searched for, so that few ties need a second look at the vectors."""
_READERS = 4


@dataclass(frozen=True)
class DenseIndex:
    """A vectors table as it is searched: plain data, told to every part."""

    uri: str
    version: int
    column: Coded
    """What is searched: `embedding`, `codes` or `bits`."""
    finer: Coded
    """What pairs are scored by: the same, or a finer column of the table."""
    atoms: tuple[Atom, ...]

    def __len__(self) -> int:
        return sum(atom.rows for atom in self.atoms)

    @property
    def dim(self) -> int:
        return self.column.dim


def describe(uri: str, version: int = -1, column: str = "", finer: str = "") -> DenseIndex:
    """The index of a table's version, from its log and its files' footers; -1 is the newest.

    `column` is the finest one unless named, `finer` is `column` unless named. TableError where
    the table has no row, ContractError where it has no such column.
    """
    pinned = Table(uri).version() if version < 0 else version
    schema = Table(uri).schema(pinned)
    searched = coded(uri, _vectors_field(schema, column))
    finest = coded(uri, _vectors_field(schema, finer)) if finer else searched
    atoms = atoms_of(uri, pinned)
    if not atoms:
        raise TableError(uri, f"version {pinned} has no row; there is nothing to search")
    return DenseIndex(uri, pinned, searched, finest, atoms)


def open_part(
    index: DenseIndex, part: int = 0, of: int = 1, *, resident: bool = False
) -> "DensePart":
    """Part `part` of `of` runs of the index's atoms, about equal in rows.

    `resident`: its rows are read now and stay in memory; else they are read for every call.
    """
    atoms = tuple(atom for atom in index.atoms if share(atom, len(index), of) == part)
    return in_memory(index, atoms) if resident else DensePart(index, atoms)


def in_memory(index: DenseIndex, atoms: tuple[Atom, ...]) -> "DensePart":
    """A run of the index's atoms whose rows are read now."""
    with ThreadPoolExecutor(_READERS) as pool:
        searched, finer = (
            tuple(pool.map(partial(_read, index, column=column), atoms)) if column else ()
            for column in (index.column, index.finer if index.finer != index.column else None)
        )
        known = tuple(pool.map(partial(read_documents, index.uri), atoms))
    bounds = Bounds.unknown(sum(atom.rows for atom in atoms))
    return DensePart(index, atoms, Resident(searched, finer or searched, known, bounds))


@dataclass(frozen=True, eq=False)
class Resident:
    """What a part keeps in memory, one of each for each of its atoms."""

    searched: tuple[Vectors, ...]
    finer: tuple[Vectors, ...]
    known: tuple[pa.Table, ...]
    bounds: Bounds
    """Of all rows in order, found by the first search of many queries and of few."""


@dataclass(frozen=True, eq=False)
class DensePart:
    """Exact search of a part's row groups."""

    index: DenseIndex
    atoms: tuple[Atom, ...]
    resident: Resident | None = field(default=None, repr=False)

    def size(self) -> int:
        return sum(atom.rows for atom in self.atoms)

    def search(self, asked: Asked, k: int) -> Hits:
        queries = queries_of(asked, self.index.uri, self.index.column)
        first = self.atoms[0].first_row if self.atoms else 0
        bounds = self.resident.bounds if self.resident else None
        try:
            found = topk(queries, self.blocks(), k + _MORE, first, bounds)
        except ValueError as error:
            raise TableError(self.index.uri, f"{self.index.column.field.name}: {error}") from error
        again = partial(level, blocks=self.blocks(), first_row=first)
        return by_id(settle(queries, found, k, again, self._ids), self._ids, k)

    def documents(self, rows: Rows) -> pa.Table:
        return self._known(rows, DOCUMENTS.names)

    def locate(self, ids: pa.Array) -> Rows:
        few = ids.unique()
        found = np.full(len(few), -1, np.int64)
        for place, atom in enumerate(self.atoms):
            wanted = pc.index_in(self._atom(place, ["id"])["id"], few).combine_chunks()
            here = np.flatnonzero(wanted.is_valid())
            found[wanted.drop_null().to_numpy()] = atom.first_row + here
        rows: Rows = found[pc.index_in(ids, few).to_numpy()]
        return rows

    def children(self, parents: pa.Array) -> tuple[Rows, Places]:
        found = [
            found_among(self._atom(place, ["parent_id"])["parent_id"], parents)
            for place in range(len(self.atoms))
        ]
        none = np.zeros(0, np.int64)
        rows = [at + atom.first_row for (at, _), atom in zip(found, self.atoms, strict=True)]
        return np.concatenate([none, *rows]), np.concatenate([none, *(own for _, own in found)])

    def score(self, asked: Asked, query: Places, rows: Rows) -> Scores:
        queries = queries_of(asked, self.index.uri, self.index.finer)
        found = np.full(len(rows), np.nan, np.float32)
        for place, here in self._hit(rows):
            block = self._finer(place)
            few, which = np.unique(rows[here], return_inverse=True)
            values = block.take(few - self.atoms[place].first_row)
            found[here] = dots_of_any(queries, values, query[here], which)
        return found

    def blocks(self) -> Iterator[Vectors]:
        """The vectors that are searched, a block an atom."""
        if self.resident:
            return iter(self.resident.searched)
        return ahead(_read(self.index, atom, self.index.column) for atom in self.atoms)

    def _finer(self, place: int) -> Vectors:
        if self.resident:
            return self.resident.finer[place]
        return _read(self.index, self.atoms[place], self.index.finer)

    def _ids(self, rows: Rows) -> pa.Table:
        return self._known(rows, ["id"])

    def _known(self, rows: Rows, names: list[str]) -> pa.Table:
        fields = pa.schema([DOCUMENTS.field(name) for name in names])
        found = [
            self._atom(place, names).take(rows[here] - self.atoms[place].first_row)
            for place, here in self._hit(rows)
        ]
        return pa.concat_tables([fields.empty_table(), *found])

    def _atom(self, place: int, names: list[str]) -> pa.Table:
        if self.resident:
            return self.resident.known[place].select(names)
        return read_documents(self.index.uri, self.atoms[place], names)

    def _hit(self, rows: Rows) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
        """Each atom that holds some of the rows, by its place, and the places of those rows."""
        for place, atom in enumerate(self.atoms):
            within = (rows >= atom.first_row) & (rows < atom.first_row + atom.rows)
            if within.any():
                yield place, np.flatnonzero(within)


def queries_of(asked: Asked, uri: str, column: Coded) -> Matrix:
    """The asked vectors, cut as the column's were; ContractError where they do not fit it."""
    needed = f"vectors of {column.dim} dimensions, as {uri} has them"
    if asked.matrix is None:
        raise ContractError("mine", "embedding", needed, "no vectors of the queries")
    try:
        return asked_of(column.field, asked.matrix)
    except ValueError as error:
        found = f"{asked.matrix.shape[1]} dimensions"
        raise ContractError("mine", "embedding", needed, found) from error


def _vectors_field(schema: pa.Schema, column: str) -> pa.Field:
    wanted = [column] if column else [name for name in FINEST_FIRST if name in schema.names]
    if not wanted or wanted[0] not in schema.names:
        found = "only " + ", ".join(schema.names)
        raise ContractError("mine", column or FINEST_FIRST[0], "vectors or their codes", found)
    found_field = schema.field(wanted[0])
    try:
        columns.dim_of(found_field)
    except KeyError as error:
        needed, found = "a vector whose metadata says its dimensions", "no 'corpusmill.dim' there"
        raise ContractError("mine", wanted[0], needed, found) from error
    return found_field


def _read(index: DenseIndex, atom: Atom, column: Coded) -> Vectors:
    try:
        return read_vectors(index.uri, atom, column)
    except ValueError as error:
        raise TableError(index.uri, f"{atom.path}, {column.field.name}: {error}") from error
