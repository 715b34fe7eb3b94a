"""Vectors that a table has already, found by the hash of their text."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from operators import columns
from operators.arrays import whole
from operators.beside import Beside
from operators.errors import ContractError
from operators.mine.groups import coded
from operators.quantize.codes import FINEST_FIRST, decoded
from operators.quantize.kernels import Matrix
from operators.storage.table import Table

pc: Any = pyarrow.compute  # the stubs do not know every function

Marks = npt.NDArray[np.bool_]


def vectors_by_hash(table: Beside, hashes: pa.Array) -> tuple[Matrix, Marks]:
    """The (n, dim) vector of each text hash, and which of them the table has, finite.

    Reads one shard at a time; a text that the table holds twice has the vector of its first row.
    """
    field = vectors_field(table)
    column = coded(table.uri, field)
    few = hashes.unique()
    matrix = np.zeros((len(few), column.dim), np.float32)
    found = np.zeros(len(few), np.bool_)
    for shard in Table(table.uri).read(["content_hash", *column.names()], table.version):
        place = whole(pc.index_in(shard["content_hash"], value_set=few))
        here = np.flatnonzero(place.is_valid())
        rows, first = np.unique(place.drop_null().to_numpy(), return_index=True)
        new = ~found[rows]
        if new.any():
            picked: Any = pa.array(here[first[new]])
            vectors = decoded(shard.take(picked), field.name, column.artefact)
            matrix[rows[new]] = vectors
            found[rows[new]] = np.isfinite(vectors).all(axis=1)
    which = pc.index_in(hashes, value_set=few).to_numpy()
    return matrix[which], found[which]


def vectors_field(table: Beside) -> pa.Field:
    """The finest column of vectors of a pinned table; ContractError where it has none."""
    schema = Table(table.uri).schema(table.version)
    name = next((each for each in FINEST_FIRST if each in schema.names), "")
    if not name:
        found = f"only {', '.join(schema.names)} in {table.uri}"
        raise ContractError("dse", FINEST_FIRST[0], "vectors or their codes", found)
    return schema.field(name)


def dim_of(table: Beside) -> int:
    """Dimensions of the vectors of a pinned table."""
    return columns.dim_of(vectors_field(table))
