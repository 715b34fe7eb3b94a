"""The Ray runner: Ray Data streams units through tasks and model actors (ENGINE §1).

A unit travels as one row that holds its table as Arrow bytes, so that Ray Data can neither split
a unit nor join two, and a table without rows is still a row.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, Dataset
from ray.data.exceptions import ExecutionTimeoutError

from cluster import settings
from cluster.answers import answer, as_raised
from cluster.blameless import blameless
from cluster.envelope import ITEMS, packed, packed_units, unpacked, unpacked_units
from cluster.growth import grown
from cluster.index_actors import held
from cluster.runner import Fatal, I, Outcomes, R
from cluster.settings import RaySettings
from cluster.stalled import stalled, waiting
from operators.base import Ask, Resources
from operators.errors import CorpusmillError
from operators.text.source import Unit
from pipelines.spec import Step
from pipelines.work import (
    Failure,
    Job,
    Outcome,
    Parcel,
    advance,
    begun,
    ending_with_its_device,
    finish,
    guarded,
    open_steps,
    process_alone,
    read_parcels,
)

_BLOCK_BYTES = 1 << 20
"""A block closes once it holds this much, that is after every unit."""
_READ_CPUS = 0.51
"""A share that no step asks for, so that Ray does not fuse reading into the model's actor."""


ALONE = "alone"
"""Stage of a unit's attempt markers: a suspect's own process has begun."""
_NODES_LOST = 3
"""Nodes that may go from under a unit that runs alone before the unit is held to be the cause."""
_DEATHS = (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError)


@dataclass(frozen=True)
class RayRunner:
    """Runs units on a Ray cluster: one streaming execution a phase."""

    name: ClassVar[str] = "ray"
    address: str = ""
    """Of a running cluster; empty starts one on this machine."""
    tuning: RaySettings = field(default_factory=RaySettings)

    @contextmanager
    def started(self) -> Iterator[None]:
        """Connect to the cluster, or start a local one and end it afterwards."""
        with settings.connected(self.address, self.tuning):
            yield

    def fitting(
        self, steps: Sequence[Step], later: Sequence[Sequence[Step]] = ()
    ) -> AbstractContextManager[None]:
        """Have the nodes that the pools need beside one CPU for reading and writing."""
        patience = self.tuning.scale_up_seconds if settings.may_grow() else 0
        return grown(steps, patience, later)

    def run_units(self, job: Job, units: Sequence[Unit]) -> Outcomes:
        """Stream the units; outcomes come in the order they finish."""
        if not units:
            return
        settings.configure_data(_BLOCK_BYTES, self.tuning)
        patience = self.tuning.no_progress_seconds
        with held(job, self.parallel, patience) as asks, blameless(job.folder) as ended:
            try:
                with closing(_outcomes(_stream(job, units, asks))) as outcomes:
                    for outcome in outcomes:
                        ended.add(outcome.unit)
                        yield outcome
            except ExecutionTimeoutError as error:
                free: float = ray.available_resources().get("CPU", 0.0)  # type: ignore[no-untyped-call]
                raise stalled(str(error), _stages(job), free, patience) from None

    def alone(self, job: Job, unit: Unit, begin: int, end: int) -> list[Outcome] | None:
        """Run a task that is not retried when its worker dies; with its node it is."""
        task: Any = ray.remote(_alone).options(**_for_all(job.steps), max_retries=0)
        before = job.folder.begun(unit.id, ALONE)
        for _ in range(_NODES_LOST):
            running = task.remote(job, unit, begin, end)
            try:
                outcomes: list[Outcome] = answer(running, self.tuning.no_progress_seconds)
            except ray.exceptions.GetTimeoutError:
                ray.cancel(running, force=True)
                if job.folder.begun(unit.id, ALONE) == before:  # it waited: no row is to blame
                    raise waiting(self.tuning.no_progress_seconds) from None
                return None
            except _DEATHS:
                return None
            except ray.exceptions.NodeDiedError:
                continue
            return outcomes
        return None

    def on_worker(self, work: Callable[[tuple[Step, ...]], R], steps: Sequence[Step]) -> R:
        """One task that has what the greediest of the steps asks for, and their threads."""
        task: Any = ray.remote(_threaded).options(**_for_all(steps))
        done: R = answer(task.remote(work, tuple(steps)))
        return done

    def parallel(self, work: Callable[[I], R], items: Sequence[I]) -> Iterable[R]:
        """One task an item; a result is fetched when it is asked for."""
        task: Any = ray.remote(_applied)
        shared = ray.put(work)
        running = deque(task.remote(shared, item) for item in items)
        return (answer(running.popleft()) for _ in items)


def _outcomes(data: Dataset) -> Outcomes:
    batches: Any = iter(
        data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    )
    with as_raised(), closing(batches):  # or its executor outlives Ray
        for item in (item for batch in batches for item in unpacked(batch)):
            if isinstance(item, Failure) and item.fatal:
                raise Fatal(item.reason, item.exit_code)
            assert not isinstance(item, Parcel)
            yield item


def _alone(job: Job, unit: Unit, begin: int, end: int) -> list[Outcome]:
    job.folder.mark_attempt(unit.id, ALONE)
    job = replace(job, steps=_with_threads(job.steps))
    return process_alone(job, unit, begin, end)


def _applied(work: Callable[[I], R], item: I) -> R:
    return work(item)


def _threaded(work: Callable[[tuple[Step, ...]], R], steps: tuple[Step, ...]) -> R:
    return work(_with_threads(steps))


def _stream(job: Job, units: Sequence[Unit], asks: Mapping[int, Ask]) -> Dataset:
    """Read and prepare in tasks, one actor pool a model, the rest and the write in tasks."""
    data: Dataset = ray.data.from_blocks([*packed_units(units)])  # from_arrow has a task for each
    models = [n for n, step in enumerate(job.steps) if step.operator.loads_model]
    stops = [*models, len(job.steps)]
    data = data.map_batches(
        Reading(job, tuple(range(stops[0]))).rows,
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=_READ_CPUS,
    )
    for model, stop in zip(models, stops[1:], strict=True):
        on = job.steps[model].resources
        searches = model in asks  # the workers hold its index; one more takes the units through
        data = data.map_batches(
            Modelling,
            fn_constructor_args=(job, tuple(range(model, stop)), asks),
            batch_size=1,  # a unit; on a GPU, Ray refuses to take blocks as they come
            batch_format="pyarrow",
            compute=_pool(on, searches=searches),
            num_cpus=on.cpus,
            num_gpus=None if searches else on.gpus or None,
            memory=on.memory or None,
            label_selector=dict(on.label_selector) or None,
        )
    return data.map_batches(
        Writing(job).rows, batch_size=None, batch_format="pyarrow", num_cpus=_READ_CPUS
    )


def _for_all(steps: Sequence[Step]) -> dict[str, Any]:
    """Options of a task that goes through all steps: the most that any of them asks for."""
    every = [step.resources for step in steps]
    greedy = max(every, key=lambda on: (on.gpus, on.memory), default=Resources())
    return {
        "num_cpus": 1,
        "num_gpus": greedy.gpus,
        "memory": greedy.memory or None,
        "label_selector": dict(greedy.label_selector) or None,
    }


def _stages(job: Job) -> list[str]:
    """What a reader calls the parts of the stream, in its order."""
    models = [step.operator.name for step in job.steps if step.operator.loads_model]
    return ["reading", *models, "writing"]


def _pool(on: Resources, *, searches: bool) -> ActorPoolStrategy:
    if searches:
        return ActorPoolStrategy(size=1)
    if on.least == on.most:
        return ActorPoolStrategy(size=on.most)
    return ActorPoolStrategy(min_size=on.least, max_size=on.most)


@dataclass(frozen=True)
class Reading:
    """The first task of a unit: read it and take it through the steps before a model."""

    job: Job
    numbers: tuple[int, ...]

    def rows(self, batch: Any) -> Iterator[Any]:
        """Units in, parcels and outcomes out, each a row of its own."""
        with ExitStack() as stack:
            opened = open_steps(self.job, self.numbers, stack)
            for unit in unpacked_units(batch):
                retries = begun(self.job, unit.id, "read")
                if isinstance(retries, Failure):
                    yield packed(retries)
                    continue
                for item in read_parcels(self.job, unit, retries=retries):
                    moved = (
                        guarded(advance, self.job, item, opened)
                        if isinstance(item, Parcel)
                        else item
                    )
                    yield packed(moved)


class Modelling:
    """An actor that opens a model once and takes parcels through it and the steps behind it."""

    def __init__(self, job: Job, numbers: tuple[int, ...], asks: Mapping[int, Ask]) -> None:
        self.job, self.stage = job, f"step{numbers[0]}"
        self.stack, self.fault, self.opened = ExitStack(), None, []
        job = replace(job, steps=_with_threads(job.steps))
        try:
            self.opened = open_steps(job, numbers, self.stack, asks)
        except CorpusmillError as error:
            self.fault = Failure("", str(error), error.exit_code, fatal=True)

    def __call__(self, batch: Any) -> Any:
        """Parcels advance; outcomes pass."""
        return pa.concat_tables([packed(self._moved(item)) for item in unpacked(batch)])

    def _moved(self, item: Parcel | Outcome) -> Parcel | Outcome:
        if not isinstance(item, Parcel):
            return item
        if self.fault:
            return self.fault
        retries = begun(self.job, item.unit, self.stage)
        if isinstance(retries, Failure):
            return retries
        with ending_with_its_device():
            return guarded(advance, self.job, item.again(retries), self.opened)


def _with_threads(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps with their threads settled for this node; Ray's own setting is one a CPU."""
    every = [(step, step.resources) for step in steps]
    return tuple(
        replace(step, resources=replace(on, threads=settings.threads(on))) for step, on in every
    )


@dataclass(frozen=True)
class Writing:
    """The last task of a parcel: write its shard and its receipt."""

    job: Job

    def rows(self, batch: Any) -> Any:
        """Parcels become receipts; outcomes pass."""
        items = (
            guarded(finish, self.job, item) if isinstance(item, Parcel) else item
            for item in unpacked(batch)
        )
        return pa.concat_tables([packed(item) for item in items] or [ITEMS.empty_table()])
