"""What a runner can do; local and Ray mean the same by it."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from operators.errors import CorpusmillError
from operators.text.source import Unit
from pipelines.spec import Step
from pipelines.work import Job, Outcome

I = TypeVar("I")  # noqa: E741 - an item
R = TypeVar("R")
Outcomes = Generator[Outcome, None, None]
"""Closed when a run is stopped, so that nothing works on."""


@dataclass(eq=False)
class Fatal(CorpusmillError):
    """A fault that every unit would meet, such as a model that does not load."""

    reason: str
    code: int

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        return self.code

    def __str__(self) -> str:
        return self.reason


class Runner(Protocol):
    """Does the work of a plan's units somewhere, and says of each what came of it."""

    @property
    def name(self) -> str:
        """How a user calls it."""
        ...

    def fitting(
        self, steps: Sequence[Step], later: Sequence[Sequence[Step]] = ()
    ) -> AbstractContextManager[None]:
        """Hold what these steps need; PreflightError when they cannot all run.

        So too where the steps of a later phase never can.
        """
        ...

    def started(self) -> AbstractContextManager[None]:
        """Hold whatever the runner needs while it is used."""
        ...

    def run_units(self, job: Job, units: Sequence[Unit]) -> Outcomes:
        """Work on all units, in any order; every unit, or part of one, yields an outcome."""
        ...

    def alone(self, job: Job, unit: Unit, begin: int, end: int) -> list[Outcome] | None:
        """Work on rows [begin, end) of a unit in a process of its own; None when it died."""
        ...

    def on_worker(self, work: Callable[[tuple[Step, ...]], R], steps: Sequence[Step]) -> R:
        """Apply a function to steps, as a worker has them that may open them all."""
        ...

    def parallel(self, work: Callable[[I], R], items: Sequence[I]) -> Iterable[R]:
        """Apply a function to every item, in order of the items."""
        ...
