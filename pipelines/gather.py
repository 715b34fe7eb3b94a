"""The step that takes vectors from where they are instead of making them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute

from operators import columns
from operators.base import Resources, Transform
from operators.contract import assign
from operators.storage.parquet import read_shard
from operators.storage.receipts import Receipt

pc: Any = pyarrow.compute  # the stubs do not know nulls among indices
_PLACE = (columns.SOURCE_FILE.name, columns.SOURCE_ROW.name)
FAILED = "the same text failed in another row"
_ANYWHERE = Resources()


@dataclass(frozen=True)
class Gather:
    """Rows with `home` and `at` (pipelines/homes.py) get the columns that their text has there."""

    name: ClassVar[str] = "reuse"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = False

    table: str
    files: tuple[str, ...]
    """Data files of the parent, by home."""
    made: Mapping[int, tuple[Receipt, ...]]
    """What this run encoded, by the number of the unit."""
    schema: pa.Schema
    """Of the rows that leave, as a table stores them."""
    names: tuple[str, ...]
    """The columns that are taken over."""

    def bind(self, schema: pa.Schema) -> pa.Schema:
        return self.schema

    @contextmanager
    def open(self, on: Resources = _ANYWHERE) -> Iterator[Transform]:
        yield self._gathered

    def _gathered(self, rows: pa.Table) -> pa.Table:
        home = rows["home"].to_numpy()
        order = np.argsort(home, kind="stable")
        starts = np.flatnonzero(np.diff(home[order], prepend=-1))
        wanted = pa.schema([self.schema.field(name) for name in self.names])
        taken, reasons = [], []
        for group in np.split(order, starts[1:]):
            some = rows.take(group)
            found, reason = self._at_home(int(home[group[0]]), some)
            taken.append(found.cast(wanted))
            reasons.append(reason)
        back = np.argsort(order, kind="stable")
        vectors = pa.concat_tables(taken).take(back)
        for name in self.names:
            rows = assign(rows, vectors.schema.field(name), vectors[name])
        return rows.append_column(columns.ERROR, pa.chunked_array(reasons).take(back))

    def _at_home(self, home: int, rows: pa.Table) -> tuple[pa.Table, pa.Array]:
        """The columns of rows that share a home, and why a row has none."""
        if home < len(self.files):
            held = read_shard(self.table, self.files[home], [*self.names])
            return held.take(rows["at"]), pa.nulls(len(rows), pa.string())
        receipts = self.made.get(home - len(self.files), ())
        hash_name = columns.CONTENT_HASH.name
        shards = [shard.path for receipt in receipts for shard in receipt.shards]
        wanted = [hash_name, *self.names]
        read = [read_shard(self.table, path, wanted) for path in shards]
        held = pa.concat_tables([self.schema.empty_table().select(wanted), *read])
        held = held.combine_chunks()
        place = pc.index_in(rows[hash_name], value_set=_only_chunk(held[hash_name]))
        return held.select([*self.names]).take(place), self._reasons(receipts, rows, place)

    def _reasons(self, receipts: Sequence[Receipt], rows: pa.Table, place: Any) -> pa.Array:
        """Why rows have no vector: what the quarantine says of the row that was encoded."""
        lost = place.is_null()
        if not pc.any(lost).as_py():
            return pa.nulls(len(rows), pa.string())
        told: dict[tuple[str, int], str] = {}
        for path in (receipt.quarantine for receipt in receipts if receipt.quarantine):
            bad = read_shard(self.table, path, [*_PLACE, columns.ERROR.name]).to_pydict()
            told |= {(f, n): e for f, n, e in zip(*bad.values(), strict=True)}
        found = zip(*(rows[name].to_pylist() for name in _PLACE), lost.to_pylist(), strict=True)
        reasons = [told.get((f, n), FAILED) if missing else None for f, n, missing in found]
        return pa.array(reasons, pa.string())


def _only_chunk(column: pa.ChunkedArray) -> Any:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)
