"""A unit that never finishes runs alone, then in halves, down to the row that kills it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa

from operators import columns
from operators.storage.parquet import read_shard
from operators.storage.receipts import Receipt
from operators.text.rows import read_unit
from operators.text.source import Unit
from pipelines.rows import rejected
from pipelines.shards import kinds, quarantine
from pipelines.work import Failure, Job, Outcome

Alone = Callable[[Job, Unit, int, int], list[Outcome] | None]
"""Runs `process_alone` in a process of its own; None when that process died."""
POISON = "the row kills the process"


def isolate(job: Job, unit: Unit, alone: Alone) -> list[Outcome]:
    """Save what can be saved of a suspect: its receipt, or a Failure that names it.

    A file that is read in one pass (gzip, zst) runs alone but is not halved.
    """
    outcomes = alone(job, unit, 0, -1)
    if outcomes is not None:
        return outcomes
    if unit.splits:
        return [Failure(unit.id, "kills its process, and a file read in one pass is not halved")]
    rows = sum(len(table) for _, table in read_unit(job.source, unit))
    receipts = _halves(job, unit, (0, rows), alone)
    return [job.folder.write_receipt(_merged(job, unit, receipts))]


def _halves(job: Job, unit: Unit, span: tuple[int, int], alone: Alone) -> list[Receipt]:
    begin, end = span
    if end - begin == 1:
        return [_poison(job, unit, begin)]
    middle = (begin + end) // 2
    receipts: list[Receipt] = []
    for half in ((begin, middle), (middle, end)):
        outcomes = alone(job, unit, *half)
        if outcomes is None:
            receipts += _halves(job, unit, half, alone)
        else:
            receipts += [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
    return receipts


def _poison(job: Job, unit: Unit, row: int) -> Receipt:
    table = pa.concat_tables([table for _, table in read_unit(job.source, unit)]).slice(row, 1)
    marked = table.set_column(
        table.schema.get_field_index(columns.ERROR.name),
        columns.ERROR,
        pa.array([f"{POISON}: every attempt that held it died"], columns.ERROR.type),
    )
    bad = rejected(marked)
    name = f"{unit.id}.r{row}-{row + 1}"
    empty = Receipt(name, (), "", 1, 0, 0, 0, {}, 0.0, 0.0, 0, {})
    return replace(empty, bad=dict(kinds(bad)), quarantine=quarantine(job.folder, name, bad))


def _merged(job: Job, unit: Unit, receipts: list[Receipt]) -> Receipt:
    bad: Counter[str] = Counter()
    for receipt in receipts:
        bad.update(receipt.bad)
    files = [receipt.quarantine for receipt in receipts if receipt.quarantine]
    rows = [read_shard(job.table, path) for path in files]
    lengths = [receipt for receipt in receipts if receipt.max_norm > 0]
    return Receipt(
        unit=unit.id,
        shards=tuple(shard for receipt in receipts for shard in receipt.shards),
        quarantine=quarantine(job.folder, unit.id, pa.concat_tables(rows)) if rows else "",
        rows_in=sum(receipt.rows_in for receipt in receipts),
        rows_out=sum(receipt.rows_out for receipt in receipts),
        tokens=sum(receipt.tokens for receipt in receipts),
        truncated=sum(receipt.truncated for receipt in receipts),
        bad=dict(bad),
        min_norm=min((receipt.min_norm for receipt in lengths), default=0.0),
        max_norm=max((receipt.max_norm for receipt in lengths), default=0.0),
        not_finite=sum(receipt.not_finite for receipt in receipts),
        seconds={},
    )
