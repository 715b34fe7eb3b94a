"""A call measured: seconds, processor time here and of child processes, memory at its peak."""

import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import psutil

Result = TypeVar("Result")
HEAD = ("what", "seconds", "CPU s here", "CPU s of the store", "peak MB", "rate", "aim")


@dataclass(frozen=True)
class Measured:
    seconds: float
    here: float
    store: float
    peak: float
    """Bytes that the process grew by at its largest."""


@dataclass(frozen=True)
class Line:
    """A row of the table under HEAD."""

    what: str
    seconds: str = ""
    here: str = ""
    store: str = ""
    peak: str = ""
    ratio: str = ""
    aim: str = ""


class Clock:
    """Measures calls of this process while the store runs as its child."""

    def timed(self, work: Callable[[], Result]) -> tuple[Measured, Result]:
        """What a call took, and its result."""
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
        before, here, there = _memory("VmRSS"), _here(), _children()
        clock = time.perf_counter()
        found = work()
        took = time.perf_counter() - clock
        peak = _memory("VmHWM") - before
        return Measured(took, _here() - here, _children() - there, peak), found


def in_turn(
    ways: Mapping[str, Callable[[], object]], repeats: int, clock: Clock
) -> dict[str, Measured]:
    """The medians of ways that are measured one after the other, `repeats` times."""
    found: dict[str, list[Measured]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, work in ways.items():
            found[way].append(clock.timed(work)[0])
    return {way: median_of(measured) for way, measured in found.items()}


def median_of(found: list[Measured]) -> Measured:
    """The median of each figure."""
    names = [field.name for field in fields(Measured)]
    return Measured(*(statistics.median(getattr(each, name) for each in found) for name in names))


def line_of(what: str, found: Measured, ratio: str = "", aim: str = "") -> Line:
    """A call as a row of the table."""
    times = [f"{each:.2f}" for each in (found.seconds, found.here, found.store)]
    return Line(what, *times, f"{found.peak / 1e6:.0f}", ratio, aim)


def _here() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _children() -> float:
    return sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children(recursive=True))


def _memory(name: str) -> int:
    """Bytes of a line of /proc/self/status."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) << 10
    return 0
