"""Metadata columns as a vector: one table of rows for all features (`unified-embedding`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from operators import columns
from operators.arrays import to_column, to_matrix, whole
from operators.base import STRICT, Resources, Transform
from operators.contract import assign, extend
from operators.errors import ContractError
from operators.features.hashing import Matrix, bucket, signs

pc: Any = pyarrow.compute  # the stubs do not know every function
_ANYWHERE = Resources()
_VECTOR = "embedding"


@dataclass(frozen=True, config=STRICT)
class Feature:
    """A column of strings, integers or lists of either, and how much of the vector it gets."""

    column: Annotated[str, Field(min_length=1)]
    chunks: Annotated[int, Field(ge=1, le=64)] = 1
    """Look-ups a value, each with a salt of its own: so many widths of the vector are its."""
    name: str = ""
    """What its hashes are salted with; empty: the column's name. Equal names share their rows."""
    separator: str = ""
    """Between the values of one string; empty: a string is one value."""


@dataclass(frozen=True, config=STRICT)
class UnifiedEmbedding:
    """Give each feature's value rows of one shared table, by salted hashes, end to end.

    The inner product of two rows is the sum of those of their features: one for an equal value,
    about zero for another. Of several values the mean; absent, null or empty gives zeros.
    Source: Unified Embedding (paper 22 of docs/techniques.md). Ours: the table holds signs drawn by
    hashes, since nothing is trained here, and the salts are names where the paper counts places.
    """

    name: ClassVar[str] = "unified-embedding"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = False
    of_text: ClassVar[bool] = False

    features: Annotated[tuple[Feature, ...], Field(min_length=1)]
    width: Annotated[int, Field(ge=1, le=4096)] = 16
    """Values a row of the table has; a feature gets `chunks` times as many."""
    rows: Annotated[int, Field(ge=1)] = 1 << 20
    """Rows of the table; equal ones of two values are told apart by more chunks."""
    seed: Annotated[int, Field(ge=0)] = 0
    into: Literal["features", "embedding"] = "features"
    """A column of their own, or the end of `embedding`, which then is no longer of length one."""
    scale: Annotated[float, Field(gt=0)] = 1.0
    """What the features' values are multiplied by, against those of the text."""

    @model_validator(mode="after")
    def _each_column_once(self) -> "UnifiedEmbedding":
        named = [each.column for each in self.features]
        twice = next((column for column in named if named.count(column) > 1), "")
        if twice:
            raise ValueError(f"column {twice!r} is named twice; give it more chunks instead")
        return self

    @property
    def dim(self) -> int:
        """Values of all features together."""
        return self.width * sum(each.chunks for each in self.features)

    def bind(self, schema: pa.Schema) -> pa.Schema:
        for each in self.features:
            _check(each, schema)
        if self.into == "features":
            return extend(schema, columns.embedding(self.dim, "features"))
        if _VECTOR not in schema.names:
            found = "only " + ", ".join(schema.names)
            raise ContractError(self.name, _VECTOR, "vectors to join the features to", found)
        dim = columns.dim_of(schema.field(_VECTOR)) + self.dim
        return extend(schema, columns.embedding(dim))

    @contextmanager
    def open(self, on: Resources = _ANYWHERE) -> Iterator[Transform]:
        yield self._featured

    def _featured(self, table: pa.Table) -> pa.Table:
        parts = [self._vectors(each, table[each.column]) for each in self.features]
        made = np.concatenate(parts, axis=1) * np.float32(self.scale)
        if self.into == _VECTOR:
            dim = columns.dim_of(table.schema.field(_VECTOR))
            made = np.concatenate([to_matrix(table[_VECTOR], dim), made], axis=1)
        return assign(table, columns.embedding(made.shape[1], self.into), to_column(made))

    def _vectors(self, feature: Feature, column: pa.ChunkedArray) -> Matrix:
        """The (n, chunks x width) mean over each row's values; zeros where there is none."""
        values, row = _values(feature, column)
        found = np.zeros((len(column), feature.chunks * self.width), np.float32)
        if not len(values):
            return found
        coded = pc.dictionary_encode(values)
        table = self._table(feature, coded.dictionary.to_pylist())
        np.add.at(found, row, table[coded.indices.to_numpy()])
        counts = np.bincount(row, minlength=len(column))
        mean: Matrix = found / np.maximum(counts, 1).astype(np.float32)[:, None]
        return mean

    def _table(self, feature: Feature, values: list[str]) -> Matrix:
        """The vectors of distinct values."""
        name = feature.name or feature.column
        parts = [
            signs(
                self.seed,
                np.array([bucket(name, chunk, value, self.rows) for value in values], np.int64),
                self.width,
            )
            for chunk in range(feature.chunks)
        ]
        return np.concatenate(parts, axis=1)


def _values(feature: Feature, column: pa.ChunkedArray) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """Every value that is there, as a string, and the number of its row."""
    array: Any = whole(column)
    row = np.arange(len(array))
    if feature.separator:
        array = pc.split_pattern(array, feature.separator)
    if pa.types.is_list(array.type):
        row = pc.list_parent_indices(array).to_numpy()
        array = pc.list_flatten(array)
    array = array.cast(pa.string())
    if feature.separator:
        array = pc.utf8_trim_whitespace(array)
    there = pc.fill_null(pc.not_equal(array, ""), False)
    return array.filter(there), row[there.to_numpy(zero_copy_only=False)].astype(np.int64)


def _check(feature: Feature, schema: pa.Schema) -> None:
    """ContractError unless the column is there and holds what can be a value."""
    needed = "strings, integers or lists of them; name it in the source's keep"
    if feature.column not in schema.names:
        found = "only " + ", ".join(schema.names)
        raise ContractError(UnifiedEmbedding.name, feature.column, needed, found)
    kind = schema.field(feature.column).type
    inner = kind.value_type if pa.types.is_list(kind) else kind
    if not (pa.types.is_string(inner) or pa.types.is_integer(inner)):
        raise ContractError(UnifiedEmbedding.name, feature.column, needed, str(kind))
    if feature.separator and not pa.types.is_string(kind):
        wanted = "one string, for it has a separator"
        raise ContractError(UnifiedEmbedding.name, feature.column, wanted, str(kind))
