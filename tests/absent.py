"""A runner whose store cannot give a file for a while, as one that is slow, throttled or down."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cluster.local import LocalRunner
from operators.text.source import Unit
from pipelines.work import Job, Outcome


@dataclass(frozen=True)
class Without(LocalRunner):
    """A local runner; a file is not there the first `times` that units are worked on."""

    file: Path = Path()
    times: int = 99
    worked: list[int] = field(default_factory=list)
    """How many units there were each time."""

    def run_units(self, job: Job, units: Sequence[Unit]) -> Generator[Outcome, None, None]:
        self.worked.append(len(units))
        if len(self.worked) > self.times:
            yield from super().run_units(job, units)
            return
        aside = self.file.rename(self.file.with_name("_aside"))
        try:
            yield from super().run_units(job, units)
        finally:
            aside.rename(self.file)
