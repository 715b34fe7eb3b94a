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
_MOST_DEADLY = 16
"""Rows of a unit that may each kill their process before the fault is the step's, not theirs."""


def isolate(job: Job, unit: Unit, alone: Alone) -> list[Outcome]:
    """Save what can be saved of a suspect: its receipt, or a Failure that names it.

    A file that is read in one pass (gzip, zst) is not halved: it runs alone as long as that
    finishes a part.
    """
    parts, outcomes = job.folder.parts(unit.id), alone(job, unit, 0, -1)
    while outcomes is None and (now := job.folder.parts(unit.id)) > parts:
        parts, outcomes = now, alone(job, unit, 0, -1)
    if outcomes is not None:
        return outcomes
    if unit.splits:
        return [Failure(unit.id, "kills its process, and a file read in one pass is not halved")]
    if alone(job, unit, 0, 0) is None:
        return [Failure(unit.id, "kills its process before the first of its rows")]
    outcomes = _halved(job, unit, alone)
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    if failures:
        return [replace(failures[0], unit=unit.id)]
    receipts = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
    return [job.folder.write_receipt(_merged(job, unit, receipts))]


def _halved(job: Job, unit: Unit, alone: Alone) -> list[Outcome]:
    """What became of the rows, in their order, knowing that all of them together kill."""
    rows = sum(len(table) for _, table in read_unit(job.source, unit))
    outcomes: list[Outcome] = []
    pending, deadly = [(0, rows)], 0
    while pending:
        begin, end = pending.pop()
        done = alone(job, unit, begin, end) if end - begin < rows else None
        if done is None and end - begin == 1:
            done = alone(job, unit, begin, end)  # a machine may take a process without a cause
        if done is not None:
            outcomes += done
        elif end - begin > 1:
            middle = (begin + end) // 2
            pending += [(middle, end), (begin, middle)]
        elif deadly < _MOST_DEADLY:
            deadly += 1
            outcomes.append(_poison(job, unit, begin))
        else:
            return [Failure(unit.id, f"more than {deadly} of its rows kill their process")]
    return outcomes


def _poison(job: Job, unit: Unit, row: int) -> Receipt:
    table = pa.concat_tables([table for _, table in read_unit(job.source, unit)]).slice(row, 1)
    marked = table.set_column(
        table.schema.get_field_index(columns.ERROR.name),
        columns.ERROR,
        pa.array(
            [f"{POISON}: every attempt that held it died or found no end"], columns.ERROR.type
        ),
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
        measured=dict(sum((Counter(receipt.measured) for receipt in receipts), Counter())),
    )
