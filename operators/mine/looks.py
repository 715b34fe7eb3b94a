"""What each source compares of a unit's queries: looked up in their own rows or in a table."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from operators import columns
from operators.arrays import to_ragged, whole
from operators.mine.groups import Coded
from operators.mine.late import token_rows
from operators.mine.pool import Marks, Places
from operators.mine.runs import Runs
from operators.mine.sources import OfTable, compared
from operators.quantize.codes import decoded
from operators.quantize.kernels import Matrix
from operators.storage import uri as store
from operators.storage.table import Table

pc: Any = pyarrow.compute  # the stubs do not know every function

_FACTORS = (columns.SCALE.name, columns.BITS_SCALE.name, columns.BITS_ERROR.name)
"""What codes are decoded with beside them."""


@dataclass(frozen=True, eq=False)
class Looked:
    """Of n queries: which have what is compared, all finite, and that, in the order of queries."""

    found: Marks
    matrix: Matrix | None = None
    terms: Runs | None = None
    tokens: Runs | None = None

    def only(self, kept: Marks) -> "Looked":
        """The marked queries."""
        rows = np.flatnonzero(kept)
        return Looked(
            self.found[rows],
            None if self.matrix is None else self.matrix[rows],
            None if self.terms is None else self.terms.taken(rows),
            None if self.tokens is None else self.tokens.taken(rows),
        )


def looked_up(source: OfTable, table: pa.Table) -> Looked:
    """What a source compares of the queries of a unit; TableError where it cannot be read."""
    if not source.queries.named:
        return of_rows(table, compared(source, table.schema))
    beside = Table(source.queries.uri)
    schema = beside.schema(source.queries.version)
    fields = compared(source, schema)
    names = {field.name for field in fields} | (
        {*_FACTORS, columns.LEXICAL_WEIGHTS} & {*schema.names}
    )
    ids = whole(table["id"])
    shards, places = [], [np.zeros(0, np.int64)]
    for shard in beside.read(["id", *sorted(names)], source.queries.version):
        place = pc.index_in(shard["id"], ids)
        shards.append(shard.filter(place.is_valid()))
        places.append(place.drop_null().to_numpy().astype(np.int64))
    read = pa.concat_tables(shards) if shards else _none(schema, ["id", *sorted(names)])
    artefact = _artefact(source.queries.uri, fields[-1])
    return _read(read, np.concatenate(places), len(table), fields, artefact)


def of_rows(table: pa.Table, fields: list[pa.Field]) -> Looked:
    """What rows that are queries have of the fields, in their order; codes of them are refused."""
    return _read(table, np.arange(len(table)), len(table), fields, b"")


def _read(
    rows: pa.Table, places: Places, count: int, fields: list[pa.Field], artefact: bytes
) -> Looked:
    """What the rows, which are queries `places` of `count`, have of the fields."""
    found = np.zeros(count, np.bool_)
    found[places] = True
    looked = Looked(found)
    for field in fields:
        if field.name == columns.LEXICAL_IDS:
            looked = replace(looked, terms=_placed(_terms(rows), places, count))
        elif field.name in (columns.TOKEN_VECTORS, columns.TOKEN_CODES):
            tokens = token_rows(rows, Coded(field, artefact))
            looked = replace(looked, tokens=_placed(tokens, places, count))
        else:
            matrix = np.zeros((count, columns.dim_of(field)), np.float32)
            matrix[places] = decoded(rows, field.name, artefact)
            looked = replace(looked, found=found & np.isfinite(matrix).all(axis=1), matrix=matrix)
    return looked


def _placed(runs: Runs, places: Places, count: int) -> Runs:
    """Rows as those of `count` queries; empty where there is no row."""
    which = np.full(count, len(runs), np.int64)
    which[places] = np.arange(len(runs))
    return Runs(runs.arrays, np.append(runs.bounds, runs.bounds[-1])).taken(which)


def _terms(rows: pa.Table) -> Runs:
    ids, bounds = to_ragged(rows[columns.LEXICAL_IDS])
    weights, _ = to_ragged(rows[columns.LEXICAL_WEIGHTS])
    return Runs((ids, weights), bounds.astype(np.int64))


def _none(schema: pa.Schema, names: list[str]) -> pa.Table:
    return pa.schema([schema.field(name) for name in names]).empty_table()


def _artefact(uri: str, field: pa.Field) -> bytes:
    digest = columns.decoder_of(field)[1]
    place = store.join(uri, "_corpusmill", "artefacts", f"{digest}.safetensors")
    return store.read_bytes(place) if digest else b""
