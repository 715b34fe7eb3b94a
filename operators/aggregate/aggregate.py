"""Passages' vectors to one row a document, whichever units its passages lie in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
from pydantic import Field
from pydantic.dataclasses import dataclass

from operators import columns
from operators.aggregate.registry import METHODS
from operators.aggregate.states import Groups, States
from operators.arrays import to_column, to_matrix, whole
from operators.base import STRICT, Operator, Resources, Transform
from operators.contract import require
from operators.errors import ConfigError, ContractError
from operators.quantize.codes import decoded
from operators.quantize.finest import dim_of, finest

pc: Any = pyarrow.compute  # the stubs do not know every function
_PLACED = (columns.SOURCE_FILE, columns.SOURCE_ROW)
_ANYWHERE = Resources()


@dataclass(frozen=True, config=STRICT)
class Aggregate:
    """One row a document: its vector at length one, and what it needs to be joined with more.

    Takes `embedding`, else `codes` or `bits`, of rows that a column groups. The id is the group's
    name; a row without one stands for itself. `source_file` and `source_row` are those of the
    document's first row, `content_hash` is the `parent_hash` where there is one.
    """

    name: ClassVar[str] = "aggregate"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = False

    method: Literal["mean", "max", "gde"] = "mean"
    """gde: the mean, and how the passages deviate from it, as a column `deviation`."""
    by: Annotated[str, Field(min_length=1)] = "parent_id"
    """The string column whose values are the documents."""
    keep: tuple[str, ...] = ()
    """Columns taken over from the document's first row."""

    def followed(self, following: tuple[Operator, ...]) -> Self:
        """The operator itself; ConfigError where a step follows."""
        if following:
            problem = (
                f"aggregate: {following[0].name} cannot follow it: the parts of a document are "
                "joined after the last step; read its table in a phase of its own"
            )
            raise ConfigError((problem,))
        return self

    def bind(self, schema: pa.Schema) -> pa.Schema:
        require(self.name, schema, columns.ID, pa.field(self.by, pa.string()))
        taken = finest(self.name, schema)
        dim, before = dim_of(self.name, taken), columns.truncated_from(taken)
        vector = columns.embedding(dim)
        made: list[pa.Field] = [
            columns.PASSAGES,
            columns.LENGTH,
            columns.truncated(vector, before) if before else vector,
        ]
        if METHODS[self.method].deviates:
            made.append(columns.deviation(dim))
        return pa.schema([*self._taken(schema, {field.name for field in made}), *made])

    @contextmanager
    def open(self, on: Resources = _ANYWHERE) -> Iterator[Transform]:
        yield self._aggregated

    def joined(self, rows: pa.Table) -> pa.Table:
        """One row an id, of rows of the bound schema: parts of documents become documents."""
        return self._joined(rows, states_of(rows)).cast(rows.schema)

    def _aggregated(self, table: pa.Table) -> pa.Table:
        """The documents of a unit, as far as their passages lie in it."""
        schema = self.bind(table.schema)
        states = States.of_passages(decoded(table, finest(self.name, table.schema).name))
        own = {"id": _first_of(table, (self.by, columns.ID.name))}
        if hashes := self._hashes(table.schema):
            own[columns.CONTENT_HASH.name] = _first_of(table, hashes)
        names = [field.name for field in self._taken(table.schema, set())]
        rows = pa.table([own.get(name, table[name]) for name in names], names=names)
        return self._joined(rows, states).cast(schema)

    def _joined(self, rows: pa.Table, states: States) -> pa.Table:
        """The rows and states of parts as one row an id."""
        order, first, groups = _groups(rows["id"])
        joined = METHODS[self.method].joined(states.take(order), groups)
        place = np.argsort(first, kind="stable")
        made = _columns(joined.take(place), deviates=METHODS[self.method].deviates)
        kept = [name for name in rows.column_names if name not in {f.name for f, _ in made}]
        out = rows.select(kept).take(pa.array(first[place], pa.int64()))
        for field, column in made:
            out = out.append_column(field, column)
        return out

    def _hashes(self, schema: pa.Schema) -> tuple[str, ...]:
        """Columns of which the first that is filled is the document's content hash."""
        if self.by != columns.PARENT_ID.name or columns.PARENT_HASH.name not in schema.names:
            return ()
        own = columns.CONTENT_HASH.name
        return (columns.PARENT_HASH.name, *((own,) if own in schema.names else ()))

    def _taken(self, schema: pa.Schema, made: set[str]) -> list[pa.Field]:
        """The columns that a document takes over from its first row."""
        hashed: list[pa.Field] = [columns.CONTENT_HASH] if self._hashes(schema) else []
        placed = [field for field in _PLACED if field.name in schema.names]
        clash = made | {field.name for field in (columns.ID, *hashed, *placed)}
        for name in self.keep:
            if name not in schema.names:
                found = "only " + ", ".join(schema.names)
                raise ContractError(self.name, name, "a column to keep", found)
            if name in clash or self.keep.count(name) > 1:
                raise ContractError(self.name, name, "a column of its own", f"{name} in keep")
        return [columns.ID, *hashed, *(schema.field(name) for name in self.keep), *placed]


def states_of(rows: pa.Table) -> States:
    """The states that rows of an aggregated table hold; their vectors are not of length one."""
    dim = columns.dim_of(rows.schema.field("embedding"))
    vectors = to_matrix(rows["embedding"], dim).astype(np.float64)
    vectors *= rows["length"].to_numpy().astype(np.float64)[:, None]
    deviations = np.zeros_like(vectors)
    if "deviation" in rows.column_names:
        deviations = to_matrix(rows["deviation"], dim).astype(np.float64)
    return States(rows["passages"].to_numpy().astype(np.float64), vectors, deviations)


def _first_of(table: pa.Table, names: tuple[str, ...]) -> Any:
    return pc.coalesce(*(table[name] for name in names))


def _groups(
    ids: pa.ChunkedArray,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Groups]:
    """The order that brings rows of one id together, the first row of each id, and the runs."""
    found: Any = pc.dictionary_encode(whole(ids))
    codes = found.indices.to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    return order, order[starts], Groups(starts, len(order))


def _columns(states: States, *, deviates: bool) -> list[tuple[pa.Field, Any]]:
    """States as the columns of a table; a vector of zeros stays one, of length zero."""
    dim = states.vectors.shape[1]
    lengths = np.linalg.norm(states.vectors, axis=1)
    unit = states.vectors / np.where(lengths > 0, lengths, 1.0)[:, None]
    made: list[tuple[pa.Field, Any]] = [
        (columns.PASSAGES, pa.array(states.counts.astype(np.int32))),
        (columns.LENGTH, pa.array(lengths.astype(np.float32))),
        (columns.embedding(dim), to_column(unit.astype(np.float32))),
    ]
    if deviates:
        made.append((columns.deviation(dim), to_column(states.deviations.astype(np.float32))))
    return made
