"""Actors that hold the parts of an index while a phase searches it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray

from cluster.answers import answer
from cluster.stalled import unopened
from operators.base import Ask, ParallelMap, Searches
from operators.errors import CorpusmillError
from pipelines.work import Job

_RESTARTS = 4
"""Times an actor that died comes back and reads its part again, before the run fails."""


class IndexPart:
    """One part of every index of an operator; what it holds, its constructor reads."""

    def __init__(self, operator: Searches, part: int, of: int, survey: Any) -> None:
        self.parts, self.fault = [], None
        try:
            self.parts = operator.open_part(part, of, survey)
        except CorpusmillError as error:
            self.fault = error

    def opened(self) -> None:
        """Raise what kept the part from opening."""
        if self.fault is not None:
            raise self.fault

    def call(self, place: int, method: str, *arguments: Any) -> Any:
        """What a method of the part answers; what kept the part from opening is raised here."""
        self.opened()
        return getattr(self.parts[place], method)(*arguments)


@dataclass(frozen=True)
class AskActors:
    """`ask` over actors; arguments are put in the object store once for all of them."""

    actors: tuple[Any, ...]

    def __call__(self, place: int, method: str, *arguments: Any) -> list[Any]:
        shared = [ray.put(argument) for argument in arguments]
        answers: list[Any] = answer(
            [actor.call.remote(place, method, *shared) for actor in self.actors]
        )
        return answers


@contextmanager
def held(job: Job, parallel: ParallelMap, patience: int) -> Iterator[dict[int, Ask]]:
    """Start the actors of the job's searching steps; they end with the block.

    What keeps a part from opening is raised here, Stalled after so many seconds of `patience`:
    without its index no unit can do better.
    """
    actors: list[Any] = []
    asks: dict[int, Ask] = {}
    try:
        for number, step in enumerate(job.steps):
            if isinstance(step.operator, Searches):
                workers = step.resources.most
                survey = ray.put(step.operator.surveyed(workers, parallel))
                kind: Any = ray.remote(IndexPart).options(**_options(step.resources))
                own = [kind.remote(step.operator, part, workers, survey) for part in range(workers)]
                actors += own
                asks[number] = AskActors(tuple(own))
        try:
            answer([actor.opened.remote() for actor in actors], patience)
        except ray.exceptions.GetTimeoutError:
            raise unopened(patience) from None
        yield asks
    finally:
        for actor in actors:
            ray.kill(actor)


def _options(on: Any) -> dict[str, Any]:
    return {
        "num_cpus": on.cpus,
        "num_gpus": on.gpus,
        "memory": on.memory or None,
        "label_selector": dict(on.label_selector) or None,
        "max_restarts": _RESTARTS,
        "max_task_retries": _RESTARTS,
    }
