"""Stored codes opened for search or turned back to floats, by what their column's metadata says."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators import columns
from operators.arrays import to_matrix
from operators.errors import ContractError
from operators.quantize.artefact import unpacked
from operators.quantize.kernels import FloatVectors, Vectors
from operators.quantize.protocol import Artefact, Scheme
from operators.quantize.registry import scheme_class

FINEST_FIRST = ("embedding", "codes", "bits")


def vectors_of(table: pa.Table, column: str = "", artefact: bytes = b"") -> Vectors:
    """Open a vectors table for search, by its finest column unless one is named.

    `artefact` is the file that the column's metadata names by digest; TableError for another.
    """
    field = _field(table.schema, column)
    scheme, arrays = _decoder(field, artefact)
    if scheme is None:
        return FloatVectors(to_matrix(table[field.name], columns.dim_of(field)))
    return scheme.vectors(table, arrays)


def decoded(table: pa.Table, column: str = "", artefact: bytes = b"") -> npt.NDArray[np.float32]:
    """The (n, dim) floats that a column stands for, by the finest column unless one is named."""
    field = _field(table.schema, column)
    scheme, arrays = _decoder(field, artefact)
    if scheme is None:
        matrix: npt.NDArray[np.float32] = to_matrix(table[field.name], columns.dim_of(field))
        return matrix
    return scheme.decode(table, arrays)


def _field(schema: pa.Schema, column: str) -> pa.Field:
    wanted = (column,) if column else FINEST_FIRST
    for name in wanted:
        if schema.get_field_index(name) >= 0:
            return schema.field(name)
    found = "only " + ", ".join(schema.names)
    raise ContractError("search", wanted[-1], "vectors or their codes", found)


def _decoder(field: pa.Field, artefact: bytes) -> tuple[Scheme | None, Artefact]:
    name, digest = columns.decoder_of(field)
    if not name:
        return None, {}
    return scheme_class(name)(), unpacked(artefact, digest, f"column {field.name}")
