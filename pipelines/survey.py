"""What a run must know before it writes: where equal texts lie, and which old rows stay.

Three rounds of tasks, each over sidecars split by hash buckets (operators/storage/keys.py), so
that no process holds the keys of a whole table.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from operators import columns
from operators.errors import DamageError
from operators.storage import keys
from operators.storage import uri as store
from operators.storage.parquet import read_shard, shard_metadata, write_grouped
from operators.text.rows import read_unit
from pipelines.homes import Parallel, homes_uri
from pipelines.parent import Parent
from pipelines.work import Job

Bits = npt.NDArray[np.bool_]
_DAMAGED = "damaged"
"""Note of a sidecar whose unit could not be read to its end: a later look may find more."""


@dataclass(frozen=True)
class Survey:
    """A run over a version that is there: its job, that version, and the sidecars of both."""

    job: Job
    parent: Parent

    def rows_that_stay(self, parallel: Parallel) -> list[int]:
        """Write the sidecars of the parent's files; of each file, how many rows stay."""
        return list(parallel(self._survey_file, range(len(self.parent.files))))

    def find_homes(self, parallel: Parallel) -> None:
        """Find for every distinct text of the units where its vector is, or will be made."""
        list(parallel(self._survey_unit, range(len(self.parent.units))))
        list(parallel(self._join, range(self.job.buckets)))

    def before(self, file: int) -> str:
        """Where the keys of a parent's file lie, by hash of the id."""
        return self.job.folder.path("before", f"{file:06d}.parquet")

    def _survey_file(self, number: int) -> int:
        uri = self.before(number)
        if store.size_of(uri) is not None:
            return int(shard_metadata(uri)["stays"])
        file = self.parent.files[number]
        named = [columns.ID.name, columns.CONTENT_HASH.name]
        if self.parent.touched is not None:
            named += [columns.SOURCE_FILE.name, columns.SOURCE_ROW.name]
        rows = read_shard(self.job.table, file.path, named)
        stays = staying(rows, self.parent.touched)
        if self.parent.reuses:
            row = {"row": pa.array(np.arange(len(rows)))}
            at = self._texts(f"file-{number:06d}")
            keys.write_bucketed(at, keys.halves(rows["content_hash"]), row, self.job.buckets)
        beside = {
            "row": pa.array(np.arange(len(rows))),
            "stays": pa.array(stays),
            **keys.content_and_place(rows),
        }
        count = int(stays.sum())
        ids = keys.hashed(rows[columns.ID.name])
        keys.write_bucketed(uri, ids, beside, self.job.buckets, {"stays": str(count)})
        return count

    def _survey_unit(self, number: int) -> None:
        """Write the distinct hashes of a unit's good rows; those before the damage, where there is.

        What a store refuses is raised, since the rows are there all the same.
        """
        unit = self.parent.units[number]
        uri = self._texts(unit.id)
        if store.size_of(uri) is not None and _DAMAGED not in shard_metadata(uri):
            return
        found, notes = [np.empty((0, 2), np.int64)], {}
        try:
            for _, table in read_unit(self.job.source, unit):
                good = table.filter(pc.is_null(table[columns.ERROR.name]))
                found.append(keys.halves(good[columns.CONTENT_HASH.name]))
        except DamageError:  # it fails by name when it is read for good
            notes = {_DAMAGED: "yes"}
        distinct = np.unique(np.concatenate(found), axis=0)
        keys.write_bucketed(uri, distinct, {}, self.job.buckets, notes)

    def _join(self, bucket: int) -> None:
        """Give each text of each unit its home: a row of a parent's file, or a unit."""
        files, units = len(self.parent.files), self.parent.units
        at_files = [self._texts(f"file-{n:06d}") for n in range(files)]
        at_units = [self._texts(unit.id) for unit in units]
        old = keys.read_bucket(at_files, bucket, ["high", "low", "row"])
        new = keys.read_bucket(at_units, bucket, ["high", "low"])
        every = np.concatenate([keys.key_halves(old), keys.key_halves(new)])
        origin = np.concatenate([old["origin"].to_numpy(), new["origin"].to_numpy() + files])
        row = np.concatenate([old["row"].to_numpy(), np.zeros(len(new), np.int64)])
        order = np.lexsort((every[:, 1], every[:, 0]))  # stable: files first, then units in order
        first = order[~keys.same_as_before(every[order])]
        group = np.cumsum(~keys.same_as_before(every[order])) - 1
        home = np.empty(len(every), np.int64)
        home[order] = first[group]
        mine = home[len(old) :]
        homes = pa.table(
            {
                "hash": keys.hashes_of(every[len(old) :]),
                "home": origin[mine],
                "at": row[mine],
            }
        )
        ends = np.searchsorted(new["origin"].to_numpy(), np.arange(len(units) + 1))
        groups = [homes.slice(int(a), int(b - a)) for a, b in pairwise(ends)]
        write_grouped(homes_uri(self.job.folder, bucket), groups, {})

    def _texts(self, name: str) -> str:
        return self.job.folder.path("texts", f"{name}.parquet")


def staying(rows: pa.Table, touched: frozenset[str] | None) -> Bits:
    """Which rows come from source files that are as they were."""
    if touched is None:
        return np.zeros(len(rows), bool)
    gone: Any = pc.is_in(rows[columns.SOURCE_FILE.name], pa.array(sorted(touched), pa.string()))
    found: Bits = ~gone.to_numpy()
    return found
