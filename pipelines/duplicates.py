"""Duplicate ids over all units: the first row of an id stays, the others are quarantined."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from operators import columns
from operators.base import ParallelMap
from operators.storage import bulk
from operators.storage import uri as store
from operators.storage.keys import duplicates_in_bucket
from operators.storage.parquet import Shard, read_shard, write_shard
from operators.storage.receipts import Receipt, RunFolder
from pipelines.merging import join_parts, merges, part_of
from pipelines.shards import quarantine
from pipelines.work import REPEATED, Job

REASON = "duplicate id"
Rows = npt.NDArray[np.int64]


def remove_duplicates(job: Job, receipts: Mapping[str, Receipt], parallel: ParallelMap) -> int:
    """Amend the receipts of units that hold a later row of an id; how many rows were removed.

    `receipts` are those that count, in the order of the source's rows. What an earlier attempt
    amended is left alone, unless more of its rows have an earlier row by now.
    """
    first = before_amending(job.folder, receipts)
    find = partial(_losers, job.folder, parts_of(first))
    losers = pa.concat_tables(list(parallel(find, range(job.buckets))))
    settle(job, first, receipts, losers, parallel)
    return len(losers)


def settle(
    job: Job,
    first: Mapping[str, Receipt],
    receipts: Mapping[str, Receipt],
    losers: pa.Table,
    parallel: ParallelMap,
) -> dict[str, Receipt]:
    """Join later rows of an id to its first where the last step can, else `amend`."""
    by = merges(job)
    if by is not None and len(losers):
        return join_parts(job, by, first, losers, parallel)
    return amend(job, first, receipts, losers, parallel)


def amend(
    job: Job,
    first: Mapping[str, Receipt],
    receipts: Mapping[str, Receipt],
    losers: pa.Table,
    parallel: ParallelMap,
) -> dict[str, Receipt]:
    """Amend the receipts of units that hold the losers (`unit`, `row`); those that were amended.

    `first` are the receipts before any amending, `receipts` those that count until now.
    """
    by_part = dict(_grouped(losers))
    tasks: list[tuple[Receipt, Mapping[Shard, Rows]]] = []
    for unit, receipt in first.items():
        parts = {
            shard: by_part[part_of(shard)] for shard in receipt.shards if part_of(shard) in by_part
        }
        if sum(len(rows) for rows in parts.values()) > receipts[unit].bad.get(_reason(job), 0):
            tasks.append((receipt, parts))
    done: Iterable[Receipt] = parallel(_Amending(job, tuple(tasks)), range(len(tasks)))
    return {receipt.unit: receipt for receipt in done}


def parts_of(receipts: Mapping[str, Receipt]) -> list[str]:
    """The parcels that have a shard, and so a sidecar of keys, in the order of the receipts."""
    return [part_of(shard) for receipt in receipts.values() for shard in receipt.shards]


def _reason(job: Job) -> str:
    return REPEATED if job.accumulates else REASON


def before_amending(folder: RunFolder, receipts: Mapping[str, Receipt]) -> dict[str, Receipt]:
    """The receipts as their units left them, in the order given."""
    names = store.list_names(folder.path("amended"))
    amended = {name.removesuffix(".json") for name in names if name.endswith(".json")}
    units = [unit for unit in receipts if unit in amended]
    found = bulk.read_many([folder.path("receipts", f"{unit}.json") for unit in units])
    return {**receipts, **dict(zip(units, map(Receipt.from_json, found), strict=True))}


def _losers(folder: RunFolder, names: list[str], bucket: int) -> pa.Table:
    return duplicates_in_bucket(folder, names, bucket)


def _grouped(losers: pa.Table) -> Iterator[tuple[str, Rows]]:
    for name in pc.unique(losers["unit"]):
        yield str(name), losers.filter(pc.equal(losers["unit"], name))["row"].to_numpy()


@dataclass(frozen=True)
class _Amending:
    """Writes units again without their later rows, wherever it runs."""

    job: Job
    tasks: tuple[tuple[Receipt, Mapping[Shard, Rows]], ...]

    def __call__(self, number: int) -> Receipt:
        amended = _amended(self.job, *self.tasks[number])
        self.job.folder.amend(amended)
        return amended


def _amended(job: Job, receipt: Receipt, losers: Mapping[Shard, Rows]) -> Receipt:
    folder, shards, bad = job.folder, list(receipt.shards), []
    for shard, rows in losers.items():
        table = read_shard(folder.table_uri, shard.path)
        stays = np.ones(len(table), bool)
        stays[rows] = False
        if not job.accumulates:
            bad.append(as_bad(table.filter(~stays)))
        kept = table.filter(pa.array(stays))
        lineage = {"corpusmill.fingerprint": job.fingerprint, "corpusmill.unit": part_of(shard)}
        place = shards.index(shard)
        shards[place] = write_shard(folder.table_uri, folder.run, part_of(shard), kept, lineage)
    counts = dict(receipt.bad)
    counts[_reason(job)] = counts.get(_reason(job), 0) + sum(map(len, losers.values()))
    if job.accumulates:
        return _trimmed(receipt, shards, counts)
    rejected = pa.concat_tables(bad)
    if receipt.quarantine:
        rejected = pa.concat_tables([read_shard(folder.table_uri, receipt.quarantine), rejected])
    written = quarantine(folder, f"{receipt.unit}.amended", rejected)
    return replace(_trimmed(receipt, shards, counts), quarantine=written)


def _trimmed(receipt: Receipt, shards: list[Shard], counts: dict[str, int]) -> Receipt:
    return replace(
        receipt,
        shards=tuple(shard for shard in shards if shard.rows),
        rows_out=sum(shard.rows for shard in shards),
        bad=counts,
    )


def as_bad(rows: pa.Table) -> pa.Table:
    """Rows as the quarantine holds them: an earlier row has their id."""
    reason = pa.array([f"{REASON}: an earlier row has it"] * len(rows), columns.ERROR.type)
    names = [columns.ID.name, columns.SOURCE_FILE.name, columns.SOURCE_ROW.name]
    return rows.select(names).append_column(columns.ERROR, reason)
