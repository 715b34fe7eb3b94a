"""Rows of one id in several units joined to one, where a phase's last step says how.

The keys of all units are joined by hash buckets (operators/storage/keys.py); then each shard that
holds a first or a later row of such an id is written again by a task of its own. A task holds one
shard, the first rows it joins to, and the later rows of one other shard at a time.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from operators.base import Merges, ParallelMap
from operators.storage.parquet import Shard, read_shard, write_shard
from operators.storage.receipts import Receipt
from pipelines.work import Job

pc: Any = pyarrow.compute  # the stubs do not know every function
Rows = npt.NDArray[np.int64]


def merges(job: Job) -> Merges | None:
    """The phase's last step, if rows of one id are parts of one row to it."""
    last = job.steps[-1].operator if job.steps else None
    return last if isinstance(last, Merges) else None


def join_parts(
    job: Job,
    by: Merges,
    receipts: Mapping[str, Receipt],
    losers: pa.Table,
    parallel: ParallelMap,
) -> dict[str, Receipt]:
    """Add each later row (`unit`, `row`) of an id to its first (`to_unit`, `to_row`).

    `receipts` are those before any amending, so the same losers give the same files and a run
    that was killed does it again. The receipts of units that changed are amended and returned.
    """
    shards = {part_of(shard): shard for each in receipts.values() for shard in each.shards}
    parts = pc.unique(pa.chunked_array([*losers["unit"].chunks, *losers["to_unit"].chunks]))
    tasks = tuple(_tasks(losers, shards, parts.to_pylist()))
    done: Iterable[Shard] = parallel(_Joining(job, by, tasks), range(len(tasks)))
    written = {part_of(task.shard): shard for task, shard in zip(tasks, done, strict=True)}
    amended = {}
    for unit, receipt in receipts.items():
        after = tuple(written.get(part_of(shard), shard) for shard in receipt.shards)
        if after != receipt.shards:
            kept = tuple(shard for shard in after if shard.rows)
            amended[unit] = replace(receipt, shards=kept, rows_out=sum(s.rows for s in kept))
            job.folder.amend(amended[unit])
    return amended


def part_of(shard: Shard) -> str:
    """The parcel a shard was written for, from its name."""
    return shard.path.rpartition("/")[2].rpartition("-")[0]


@dataclass(frozen=True)
class _Later:
    """Rows of a shard that belong to rows of another."""

    shard: Shard
    rows: Rows
    to: Rows


@dataclass(frozen=True)
class _Task:
    """A shard to write again: rows that go elsewhere, and rows that come from elsewhere."""

    shard: Shard
    leave: Rows
    come: tuple[_Later, ...]


@dataclass(frozen=True)
class _Joining:
    job: Job
    by: Merges
    tasks: tuple[_Task, ...]

    def __call__(self, number: int) -> Any:
        """Write the shard of a task again."""
        task, job = self.tasks[number], self.job
        table = read_shard(job.table, task.shard.path)
        stays = np.ones(len(table), bool)
        stays[task.leave] = False
        to: Rows = np.unique(np.concatenate([each.to for each in task.come] or [task.leave[:0]]))
        whole = table.take(pa.array(to, pa.int64()))
        for later in task.come:
            rows = read_shard(job.table, later.shard.path).take(pa.array(later.rows, pa.int64()))
            whole = self.by.joined(pa.concat_tables([whole, rows]))
        stays[to] = False
        back = np.argsort(np.concatenate([np.flatnonzero(stays), to]), kind="stable")
        kept = pa.concat_tables([table.filter(pa.array(stays)), whole])
        kept = kept.take(pa.array(back, pa.int64()))
        name = part_of(task.shard)
        lineage = {"corpusmill.fingerprint": job.fingerprint, "corpusmill.unit": name}
        return write_shard(job.table, job.run, name, kept, lineage)


def _tasks(losers: pa.Table, shards: Mapping[str, Shard], parts: Sequence[str]) -> Iterator[_Task]:
    unit, to_unit = _numbered(losers["unit"], parts), _numbered(losers["to_unit"], parts)
    row, to_row = losers["row"].to_numpy(), losers["to_row"].to_numpy()
    for number, part in enumerate(parts):
        joins = np.flatnonzero(to_unit == number)
        come = []
        for other in np.unique(unit[joins]):
            chosen = joins[unit[joins] == other]
            come.append(_Later(shards[parts[other]], row[chosen], to_row[chosen]))
        yield _Task(shards[part], row[unit == number], tuple(come))


def _numbered(units: pa.ChunkedArray, parts: Sequence[str]) -> Rows:
    found: Rows = pc.index_in(units, value_set=pa.array(parts, pa.string())).to_numpy()
    return found.astype(np.int64)
