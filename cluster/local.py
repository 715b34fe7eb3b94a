"""The local runner: the same plan in this process, reading and writing beside the encoder."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from typing import ClassVar

from cluster.runner import I, Outcomes, R
from cluster.stalled import NO_PROGRESS_SECONDS
from operators.base import Transform
from operators.text.source import Unit
from pipelines.spec import Step
from pipelines.work import (
    Failure,
    Job,
    Outcome,
    Parcel,
    advance,
    begun,
    finish,
    guarded,
    open_steps,
    process_alone,
    read_parcels,
)

_AHEAD = 2
"""Units that are read while the encoder works, and that are written behind it."""


@dataclass(frozen=True)
class LocalRunner:
    """Runs units one after another; steps before the first model run ahead in a thread."""

    name: ClassVar[str] = "local"
    no_progress_seconds: int = NO_PROGRESS_SECONDS
    """A unit that runs alone is given up after so long."""

    def fitting(
        self, steps: Sequence[Step], later: Sequence[Sequence[Step]] = ()
    ) -> AbstractContextManager[None]:
        """One process always fits."""
        return nullcontext()

    def started(self) -> AbstractContextManager[None]:
        """Nothing to hold."""
        return nullcontext()

    def run_units(self, job: Job, units: Sequence[Unit]) -> Outcomes:
        """Read ahead, encode here, write behind; outcomes come in the order of the units."""
        model = next((n for n, step in enumerate(job.steps) if step.operator.loads_model), 0)
        if not units:
            return
        with ExitStack() as stack:
            before = open_steps(job, range(model), stack)
            opened = open_steps(job, range(model, len(job.steps)), stack)
            reader = stack.enter_context(ThreadPoolExecutor(1))
            writer = stack.enter_context(ThreadPoolExecutor(1))
            written: list[Future[Outcome]] = []
            for item in _ahead(reader, job, units, before):
                if isinstance(item, Parcel):
                    done = guarded(advance, job, item, opened)
                    written.append(writer.submit(_finish, job, done))
                else:
                    yield item
                while len(written) > _AHEAD:
                    yield written.pop(0).result()
            for future in written:
                yield future.result()

    def alone(self, job: Job, unit: Unit, begin: int, end: int) -> list[Outcome] | None:
        """Spawn a process for the unit; one that finds no end is killed."""
        others = active_children()
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            running = pool.submit(process_alone, job, unit, begin, end)
            try:
                return running.result(self.no_progress_seconds)
            except BrokenProcessPool:
                return None
            except TimeoutError:
                for process in {*active_children()}.difference(others):
                    process.kill()
                return None

    def on_worker(self, work: Callable[[tuple[Step, ...]], R], steps: Sequence[Step]) -> R:
        """Here."""
        return work(tuple(steps))

    def parallel(self, work: Callable[[I], R], items: Sequence[I]) -> Iterable[R]:
        """One after another."""
        return map(work, items)


def _ahead(
    pool: ThreadPoolExecutor,
    job: Job,
    units: Sequence[Unit],
    opened: Sequence[tuple[int, Transform]],
) -> Iterator[Parcel | Outcome]:
    """Parcels of the units in order, a few units read and tokenized ahead of their use."""
    items = _prepared(job, units, opened)
    waiting = [pool.submit(next, items, None) for _ in range(_AHEAD)]
    while waiting:
        item = waiting.pop(0).result()
        if item is None:
            return
        waiting.append(pool.submit(next, items, None))
        yield item


def _prepared(
    job: Job, units: Sequence[Unit], opened: Sequence[tuple[int, Transform]]
) -> Iterator[Parcel | Outcome]:
    for unit in units:
        retries = begun(job, unit.id, "unit")
        if isinstance(retries, Failure):
            yield retries
            continue
        for item in read_parcels(job, unit, retries=retries):
            yield guarded(advance, job, item, opened) if isinstance(item, Parcel) else item


def _finish(job: Job, done: Parcel | Outcome) -> Outcome:
    return guarded(finish, job, done) if isinstance(done, Parcel) else done
