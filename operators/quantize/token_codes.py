"""Token vectors in a few bytes each, by the codec that ColBERT has for them (`residual-codec`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass

from operators import columns
from operators.arrays import ragged_column, to_column, to_matrix, to_ragged
from operators.base import STRICT, Resources, Transform
from operators.contract import assign, extend, reject, require, without
from operators.errors import TableError
from operators.quantize import artefact as learned
from operators.quantize.drawn import drawn
from operators.quantize.kernels import Matrix
from operators.quantize.protocol import Artefact
from operators.quantize.residual import ResidualCodec

_LEARNED_FROM = 1 << 18
"""Token vectors that are learned from, at most, drawn from those of the sample."""
_ANYWHERE = Resources()


@dataclass(frozen=True, config=STRICT)
class QuantizeTokens:
    """Replace `token_vectors` by `token_codes`, of each vector a centroid and what it leaves.

    Two bytes and `nbits` a value for each vector; all vectors have length one.
    """

    name: ClassVar[str] = "quantize-tokens"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = False
    of_text: ClassVar[bool] = True
    learns: ClassVar[bool] = True

    nbits: Annotated[int, Field(ge=1, le=8)] = 2
    seed: Annotated[int, Field(ge=0)] = 0
    artefact: str = ""
    """URI of `<digest>.safetensors`, what `fit` gave; its digest is identity, its place is not."""

    def bind(self, schema: pa.Schema) -> pa.Schema:
        require(self.name, schema, columns.token_vectors(0))
        dim = columns.dim_of(schema.field(columns.TOKEN_VECTORS))
        learned.check_taken(self.name, columns.TOKEN_VECTORS, self._codec(), dim, self.artefact)
        return extend(without(schema, columns.TOKEN_VECTORS), self._field(schema))

    def fit(self, sample: pa.Table) -> bytes:
        """Learn from a sample's vectors; TableError where it has none of them."""
        vectors = self._vectors(sample)[0]
        vectors = vectors[np.isfinite(vectors).all(axis=1)]
        if not len(vectors):
            raise TableError("sample", f"{self.name} has no token vector to learn from")
        return learned.packed(self._codec().finish(drawn(vectors, _LEARNED_FROM)))

    @contextmanager
    def open(self, on: Resources = _ANYWHERE) -> Iterator[Transform]:
        if not self.artefact:
            raise TableError(self.name, "learns from a sample and has no artefact; fit it first")
        yield partial(self._apply, learned.fetched(self.artefact))

    def _apply(self, artefact: Artefact, table: pa.Table) -> pa.Table:
        vectors, bounds = self._vectors(table)
        finite: npt.NDArray[np.bool_] = np.all(np.isfinite(vectors), axis=1, keepdims=True)
        codes = self._codec().apply(np.where(finite, vectors, np.float32(0)), artefact)
        field = self._field(table.schema)
        width = width_of(field)
        flat = to_matrix(codes["codes"], width).reshape(-1)
        row = np.repeat(np.arange(len(table)), np.diff(bounds))
        bad = np.bincount(row[~finite[:, 0]], minlength=len(table)) > 0
        out = table.drop_columns([columns.TOKEN_VECTORS])
        out = assign(out, field, ragged_column(flat, (bounds * width).astype(np.int32)))
        return reject(out, bad, "a token vector is not finite")

    def _vectors(self, table: pa.Table) -> tuple[Matrix, npt.NDArray[np.int64]]:
        dim = columns.dim_of(table.schema.field(columns.TOKEN_VECTORS))
        values, bounds = to_ragged(table[columns.TOKEN_VECTORS])
        return values.reshape(-1, dim), bounds.astype(np.int64) // dim

    def _field(self, schema: pa.Schema) -> pa.Field:
        dim = columns.dim_of(schema.field(columns.TOKEN_VECTORS))
        told = columns.decoder(dim, ResidualCodec.name, learned.named_digest(self.artefact))
        told |= {"corpusmill.bytes": str(2 - (-dim * self.nbits // 8))}
        return pa.field(columns.TOKEN_CODES, pa.list_(pa.int8()), metadata=told)

    def _codec(self) -> ResidualCodec:
        return ResidualCodec(nbits=self.nbits, seed=self.seed)


def width_of(field: pa.Field) -> int:
    """Bytes of one vector in a column of token codes."""
    return int((field.metadata or {})[b"corpusmill.bytes"])


def decoded_tokens(
    column: pa.ChunkedArray, field: pa.Field, artefact: bytes
) -> tuple[Matrix, npt.NDArray[np.int64]]:
    """The (n, dim) vectors of all rows, and n + 1 bounds; TableError for another artefact."""
    arrays = learned.unpacked(artefact, columns.decoder_of(field)[1], f"column {field.name}")
    dim, width = columns.dim_of(field), width_of(field)
    values, bounds = to_ragged(column)
    codes = columns.codes(dim, ResidualCodec.name)
    table = pa.table([to_column(values.reshape(-1, width))], schema=pa.schema([codes]))
    return ResidualCodec().decode(table, arrays), bounds.astype(np.int64) // width
