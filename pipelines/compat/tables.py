"""Two vectors tables opened, and a sample of the documents that both hold as they were embedded."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from operators import columns
from operators.arrays import whole
from operators.beside import Beside, pinned
from operators.errors import SourceError, TableError
from operators.mine.draws import Keys, keys
from operators.mine.groups import Coded, coded
from operators.mine.ways import without_vectors
from operators.quantize.codes import FINEST_FIRST, decoded
from operators.quantize.kernels import Matrix
from operators.storage.parquet import read_shard
from operators.storage.table import Table
from pipelines.asking import Recipe, recipe_of

pc: Any = pyarrow.compute  # the stubs know no plain values as operands

_PLACE: list[pa.Field] = [
    columns.ID,
    columns.CONTENT_HASH,
    columns.SOURCE_FILE,
    columns.SOURCE_ROW,
]
PLACES = pa.schema(_PLACE)
"""What tells a document and where its text lies."""


@dataclass(frozen=True)
class Version:
    """One of the two tables: its vectors, and the steps that make them of queries."""

    table: Beside
    column: Coded
    recipe: Recipe

    @property
    def uri(self) -> str:
        return self.table.uri

    @property
    def model(self) -> str:
        """The model as the table's commit names it."""
        return self.recipe.encode.model.path

    def files(self) -> list[str]:
        """Its data files, relative to the table."""
        return [file.path for file in Table(self.uri).files(self.table.version)]

    def rows(self) -> int:
        return sum(file.rows for file in Table(self.uri).files(self.table.version))

    def vectors(self, table: pa.Table) -> Matrix:
        """The floats that rows of the table stand for."""
        named = [
            self.column.field if name == self.column.field.name else table.field(name)
            for name in table.column_names
        ]
        typed = table.cast(pa.schema(named))
        return decoded(typed, self.column.field.name, self.column.artefact)


@dataclass(frozen=True, eq=False)
class Shared:
    """Documents that both tables hold with the same content, in an order drawn by their ids."""

    places: pa.Table
    """PLACES, of the old table."""
    old: Matrix
    new: Matrix
    changed: int
    """Sampled documents left out because the tables embedded different texts of them."""

    @property
    def ids(self) -> pa.Array:
        return whole(self.places[columns.ID.name])

    def __len__(self) -> int:
        return len(self.places)


def opened(uri: str, version: int = -1) -> Version:
    """A table that corpusmill embedded; TableError in one sentence where it is none."""
    try:
        table = pinned(Beside(uri, version=version), {})
    except SourceError as error:
        raise TableError(error.uri, error.problem) from error
    schema = Table(table.uri).schema(table.version)
    name = next((name for name in FINEST_FIRST if name in schema.names), "")
    lacking = [field.name for field in _PLACE if field.name not in schema.names]
    if not name or lacking:
        raise TableError(table.uri, without_vectors(schema))
    found = recipe_of(table)
    return Version(table, coded(table.uri, schema.field(name)), found)


def shared(old: Version, new: Version, sample: int, wanted: pa.Array, seed: int = 0) -> Shared:
    """At most `sample` documents that both tables hold, the `wanted` ids before others.

    Reads ids and hashes of the smaller table, then of the other, then the vectors of the sample;
    in memory are the sample and one file. TableError where no document is in both.
    """
    small, large = sorted((old, new), key=Version.rows)
    drawn = _drawn(small, sample, wanted, seed)
    there = _found(large, drawn["id"], [field.name for field in _PLACE[:2]])
    both = drawn.filter(pc.is_in(drawn["id"], whole(there["id"])))
    if not len(both):
        problem = f"none of {len(drawn):,} ids drawn from {small.uri} is in it"
        raise TableError(large.uri, f"{problem}; compare two tables of the same documents")
    other = there["content_hash"].take(pc.index_in(both["id"], whole(there["id"])))
    same = pc.equal(both["content_hash"], other)
    kept = both.filter(same)
    if not len(kept):
        problem = f"it embedded other texts than {small.uri} of all {len(both):,} sampled documents"
        raise TableError(large.uri, problem)
    order = np.argsort(keys(whole(kept["id"]), seed), kind="stable")
    ids = whole(_taken(kept, order)["id"])
    places = _in_order(_found(old, ids, PLACES.names), ids)
    vectors = [_vectors(each, ids) for each in (old, new)]
    return Shared(places, vectors[0], vectors[1], len(both) - len(kept))


def _drawn(version: Version, sample: int, wanted: pa.Array, seed: int) -> pa.Table:
    """Ids and hashes of the sample: the wanted ones, then those of the least keys."""
    names = [field.name for field in _PLACE[:2]]
    kept = pa.schema(_PLACE[:2]).empty_table()
    for table in _read(version, names):
        kept = pa.concat_tables([kept, table])
        if len(kept) > sample:
            ids = whole(kept["id"])
            asked = np.asarray(pc.is_in(ids, wanted))
            order = np.lexsort((_keys(ids, seed), ~asked))
            kept = _taken(kept, np.sort(order[:sample]))
    return kept


def _keys(ids: pa.Array, seed: int) -> Keys:
    return keys(ids, seed, "sample")


def _found(version: Version, ids: Any, names: list[str]) -> pa.Table:
    """The named columns of the rows with those ids."""
    asked = whole(ids)
    parts = [table.filter(pc.is_in(table["id"], asked)) for table in _read(version, names)]
    return pa.concat_tables(parts)


def _vectors(version: Version, ids: pa.Array) -> Matrix:
    """(len(ids), dim) in the order of the ids."""
    matrix: npt.NDArray[np.float32] = np.zeros((len(ids), version.column.dim), np.float32)
    for table in _read(version, ["id", *version.column.names()]):
        place = pc.index_in(table["id"], ids)
        here = place.is_valid()
        rows = place.drop_null().to_numpy()
        matrix[rows] = version.vectors(table.filter(here).drop_columns(["id"]))
    return matrix


def _taken(table: pa.Table, rows: npt.NDArray[np.int64]) -> pa.Table:
    places: Any = pa.array(rows, pa.int64())
    return table.take(places)


def _in_order(table: pa.Table, ids: pa.Array) -> pa.Table:
    return table.take(pc.index_in(ids, whole(table["id"])))


def _read(version: Version, names: list[str]) -> Iterator[pa.Table]:
    """The named columns, file by file."""
    for path in version.files():
        yield read_shard(version.uri, path, names)
