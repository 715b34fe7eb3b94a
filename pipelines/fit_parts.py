"""What an operator learns from every row of a source: states of parts, merged on the way."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pyarrow as pa

from operators.base import LearnsByParts, ParallelMap
from operators.errors import DamageError
from operators.text.rows import read_unit
from operators.text.source import Unit
from pipelines.fit import Learned
from pipelines.plan import PhasePlan
from pipelines.rows import accepted, through
from pipelines.work import Job, open_steps

PARTS = 64
"""Tasks at most; each takes its units one after another and keeps one state."""


def learns_by_parts(plan: PhasePlan, number: int) -> bool:
    """Whether a step learns from every row: it can, and no step before it loads a model."""
    before = plan.phase.steps[:number]
    operator = plan.phase.steps[number].operator
    able = isinstance(operator, LearnsByParts) and operator.reduces
    return able and not any(step.operator.loads_model for step in before)


def learned_by_parts(plan: PhasePlan, number: int, parallel: ParallelMap) -> Learned:
    """Have the units' rows read where `parallel` does it, and merge what they teach.

    A file is read up to where it is damaged; the run itself will say that it is.
    """
    parts = min(PARTS, len(plan.units))
    work = _Part(plan.job, plan.units, number, parts)
    state, rows = b"", 0
    for part in parallel(work, range(parts)):  # one at a time: a sample has some megabytes
        state, rows = work.operator.merged([state, part.artefact]), rows + part.rows
    return Learned(work.operator.finished(state), rows)


@dataclass(frozen=True)
class _Part:
    """Every `of`-th unit, from a place on."""

    job: Job
    units: tuple[Unit, ...]
    number: int
    of: int

    @property
    def operator(self) -> LearnsByParts:
        found = self.job.steps[self.number].operator
        assert isinstance(found, LearnsByParts)
        return found

    def __call__(self, place: int) -> Learned:
        """The state of those units, which is not finished."""
        state, rows = b"", 0
        for table in self._tables(place):
            state = self.operator.merged([state, self.operator.partial(table)])
            rows += len(table)
        return Learned(state, rows)

    def _tables(self, place: int) -> Iterator[pa.Table]:
        with ExitStack() as stack:
            opened = open_steps(self.job, range(self.number), stack)
            for unit in self.units[place :: self.of]:
                try:
                    for _, table in read_unit(self.job.source, unit):
                        for step, transform in opened:
                            table = through(transform, table, self.job.schemas[step + 1])
                        yield accepted(table, self.job.schemas[self.number])
                except DamageError:
                    continue
