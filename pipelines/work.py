"""The work on one unit: read it, take its rows through the steps, leave one receipt."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Concatenate, ParamSpec, TypeVar

import pyarrow as pa

from operators.base import Ask, Searches, Transform
from operators.contract import LEFT_OUT
from operators.errors import CorpusmillError, DeviceError, PassingError
from operators.measures import measured, whereabouts
from operators.redaction import without_secrets
from operators.storage.receipts import Receipt, RunFolder
from operators.teach.protocol import Scoring
from operators.text.rows import read_unit
from operators.text.source import Source, Unit
from pipelines.homes import Homes
from pipelines.rows import accepted, rejected, through
from pipelines.shards import Tally, write_receipt
from pipelines.spec import Step

P = ParamSpec("P")
T = TypeVar("T")

MAX_ATTEMPTS = 3
"""A unit begun that often without a receipt is a suspect: it runs alone, then in halves."""

REPEATED = f"{LEFT_OUT}, the same row again"
"""Kind of a row that an accumulating table had already."""


@dataclass(frozen=True)
class Job:
    """What a worker must know about a phase: plain data, the same for every unit of a run."""

    table: str
    run: str
    source: Source
    steps: tuple[Step, ...]
    schemas: tuple[pa.Schema, ...]
    """The schema that is read, then the one after each step."""
    fingerprint: str
    buckets: int
    accumulates: bool = False
    """Rows of one id are the same row: a later one is dropped, it is not bad."""
    homes: Homes | None = None
    """Where vectors of equal texts are, in a run that encodes only what is new."""

    @property
    def folder(self) -> RunFolder:
        """Where the run keeps its receipts."""
        return RunFolder(self.table, self.run)


@dataclass(frozen=True)
class Failure:
    """A unit without a receipt, and why; `fatal` when no unit can do better."""

    unit: str
    reason: str
    exit_code: int = 1
    suspect: bool = False
    fatal: bool = False
    passing: bool = False
    """The store failed, and not the unit: a later try may do better."""
    worker: str = ""
    """Node and process that met it."""


Outcome = Receipt | Failure


@dataclass(frozen=True)
class Parcel:
    """A part of a unit on its way through the steps."""

    unit: str
    """Name of the receipt it will get: the unit's id, with `.p00003` for the third part."""
    part: int
    table: pa.Table
    tally: Tally = field(default_factory=Tally)

    def again(self, retries: int) -> "Parcel":
        """The parcel of a unit that was begun so often before."""
        retries = max(retries, self.tally.retries)
        return replace(self, tally=replace(self.tally, retries=retries))


def read_parcels(
    job: Job, unit: Unit, begin: int = 0, end: int = -1, retries: int = 0
) -> Iterator[Parcel | Outcome]:
    """Read a unit, or its rows [begin, end) alone, and pass on what has no receipt yet.

    A part without rows gets its receipt here, since no later stage would see it. A unit that
    cannot be read ends in a Failure.
    """
    parts = 0
    homes = job.homes.of(unit) if job.homes else None
    seen: set[int] = set()
    clock = time.perf_counter()
    try:
        for part, table in read_unit(job.source, unit):
            parts = part + 1
            name = f"{unit.id}.p{part:05d}" if unit.splits else unit.id
            if unit.splits and job.folder.has_receipt(name):
                continue
            if end >= 0:
                name, table = f"{name}.r{begin}-{end}", table.slice(begin, end - begin)
            if job.homes and homes is not None:
                table = job.homes.prepared(homes, unit, table, seen)
            seconds = {"read": time.perf_counter() - clock}
            tally = Tally(rows_in=len(table), seconds=seconds, retries=retries)
            parcel = Parcel(name, part, table, tally)
            yield parcel if len(table) else finish(job, parcel)
            clock = time.perf_counter()
    except CorpusmillError as error:
        yield failed(unit.id, error)
        return
    if unit.splits:
        yield job.folder.write_receipt(replace(_EMPTY, unit=unit.id, parts=parts))


def advance(job: Job, parcel: Parcel, opened: Sequence[tuple[int, Transform]]) -> Parcel:
    """Take a parcel through the opened steps; rows that a step rejects stay, with their error."""
    table, tally = parcel.table, parcel.tally
    for number, transform in opened:
        operator = job.steps[number].operator
        whole = isinstance(operator, Scoring) and operator.whole
        clock = time.perf_counter()
        with measured() as found:
            table = through(transform, table, job.schemas[number + 1], whole=whole)
        tally = tally.took(operator.name, time.perf_counter() - clock).saw(table).heard(found)
    return replace(parcel, table=table, tally=tally)


def finish(job: Job, parcel: Parcel) -> Receipt:
    """Write a parcel's shard, key sidecar and quarantine file, then its receipt."""
    table = parcel.table
    good, bad = accepted(table, job.schemas[-1]), rejected(table)
    return write_receipt(job.folder, parcel, good, bad, job.fingerprint, job.buckets)


def process(
    job: Job, unit: Unit, opened: Sequence[tuple[int, Transform]], begin: int = 0, end: int = -1
) -> Iterator[Outcome]:
    """Do all the work on a unit in this process."""
    for parcel in read_parcels(job, unit, begin, end):
        if not isinstance(parcel, Parcel):
            yield parcel
            continue
        moved = guarded(advance, job, parcel, opened)
        yield guarded(finish, job, moved) if isinstance(moved, Parcel) else moved


def guarded(
    work: Callable[Concatenate[Job, Parcel, P], T],
    job: Job,
    parcel: Parcel,
    *rest: P.args,
    **named: P.kwargs,
) -> T | Failure:
    """Do work on a parcel; what goes wrong with it becomes a Failure, and the others go on.

    DeviceError, since no other can go on in this process.
    """
    try:
        return work(job, parcel, *rest, **named)
    except DeviceError:
        raise
    except Exception as error:  # noqa: BLE001 - one unit's fault must not end the others
        return failed(parcel.unit, error)


def failed(unit: str, error: Exception) -> Failure:
    """The Failure of a unit in this process, its reason without secrets."""
    reason, code = f"{type(error).__name__}: {error}", 1
    if isinstance(error, CorpusmillError):
        reason, code = str(error), error.exit_code
    reason = without_secrets(reason)
    return Failure(unit, reason, code, passing=_is_passing(error), worker=whereabouts())


def _is_passing(error: BaseException | None) -> bool:
    """Whether a store is behind an error: s3fs, too, chains what it was told."""
    while error is not None and not isinstance(error, PassingError):
        if isinstance(error, OSError) and error.__cause__ is not None:
            return True
        error = error.__cause__
    return error is not None


def process_alone(job: Job, unit: Unit, begin: int = 0, end: int = -1) -> list[Outcome]:
    """Open the steps and do all the work on a unit, as a suspect's own process does."""
    with ending_with_its_device(), ExitStack() as stack:
        return list(process(job, unit, open_steps(job, range(len(job.steps)), stack), begin, end))


@contextmanager
def ending_with_its_device() -> Iterator[None]:
    """End this process where it loses its device, which a new one may use again."""
    try:
        yield
    except DeviceError as error:
        sys.stderr.write(f"{without_secrets(str(error))}\n")
        sys.stderr.flush()
        os._exit(1)


def open_steps(
    job: Job, numbers: Sequence[int], stack: ExitStack, asks: Mapping[int, Ask] | None = None
) -> list[tuple[int, Transform]]:
    """Open the numbered steps for as long as `stack` lives; `asks` reach indexes held elsewhere."""
    opened = []
    for number in numbers:
        step = job.steps[number]
        if asks and number in asks and isinstance(step.operator, Searches):
            context = step.operator.open_with(asks[number], step.resources)
        else:
            context = step.operator.open(step.resources)
        opened.append((number, stack.enter_context(context)))
    return opened


def begun(job: Job, unit: str, stage: str) -> int | Failure:
    """Leave an attempt marker; how many attempts died before, a Failure where too many did.

    Of a unit that gave parts only those count that began after the last of them was finished.
    """
    before = job.folder.mark_attempt(unit, stage)
    if before and (parts := job.folder.parts(unit)):
        before = job.folder.mark_attempt(unit, f"{stage}.{parts}")
    if before < MAX_ATTEMPTS:
        return before
    return Failure(unit, f"begun {before} times in {stage} and never finished", suspect=True)


def bad_rows(receipts: Sequence[Receipt]) -> Counter[str]:
    """Quarantined rows by reason, over receipts."""
    return Counter({k: n for k, n in put_aside(receipts).items() if not k.startswith(LEFT_OUT)})


def left_out(receipts: Sequence[Receipt]) -> Counter[str]:
    """Rows left out by intent, by reason, over receipts."""
    return Counter({k: n for k, n in put_aside(receipts).items() if k.startswith(LEFT_OUT)})


def put_aside(receipts: Sequence[Receipt]) -> Counter[str]:
    """Rows that went no further, by reason, over receipts."""
    total: Counter[str] = Counter()
    for receipt in receipts:
        total.update(receipt.bad)
    return total


_EMPTY = Receipt("", (), "", 0, 0, 0, 0, {}, 0.0, 0.0, 0, {})
