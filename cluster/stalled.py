"""A phase on Ray that finishes nothing any more, told in the user's words."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from operators.errors import CorpusmillError

NO_PROGRESS_SECONDS = 1800
"""Work that comes to nothing for so long is given up."""
WAIT_FOR_NODES = 600
"""Seconds a phase with a range waits for the nodes of its least workers."""
_STAGE = re.compile(r"^  - .*?: (\d+) active task\(s\), (\d+) finished", re.MULTILINE)


@dataclass(eq=False)
class Stalled(CorpusmillError):
    """Nothing was finished for so long that the phase was ended."""

    seconds: int
    stages: str

    def __str__(self) -> str:
        return (
            f"nothing was finished for {self.seconds} s: {self.stages}; what is finished stays, "
            "run again to go on. If work may take that long, raise --no-progress"
        )


def stalled(report: str, stages: Sequence[str], free_cpus: float, seconds: int) -> Stalled:
    """The error for Ray Data's report, whose operators still at work end the list of `stages`."""
    found = [(int(active), int(done)) for active, done in _STAGE.findall(report)]
    running = [*zip(stages[-len(found) :], found, strict=False)] if found else []
    return Stalled(seconds, "; ".join(_told(running, free_cpus)) or "no stage is at work")


def waiting(seconds: int) -> Stalled:
    """The error for a unit that was to run alone, and for which no worker came free."""
    return Stalled(seconds, "a unit that runs alone waits for a worker that no node has free")


def unopened(seconds: int) -> Stalled:
    """The error for an index whose parts were not all in memory by then."""
    return Stalled(seconds, "an index is still being read, or waits for workers no node has free")


def _told(running: Sequence[tuple[str, tuple[int, int]]], free_cpus: float) -> Iterator[str]:
    for stage, (active, done) in running:
        if active:
            yield f"{stage} has worked on {active} unit{'s' * (active > 1)} without an end"
        elif free_cpus < 1:
            yield f"{stage} waits for a free CPU (units it finished: {done})"
    if running and not any(active for _, (active, _) in running) and free_cpus >= 1:
        yield f"{running[0][0]} waits for a worker that no node can hold"
