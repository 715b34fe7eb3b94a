"""What has come of a stage's units so far, in figures and as a sentence."""

import time
from dataclasses import dataclass, field

from cluster.watching import is_unit
from pipelines.work import Failure, Outcome


@dataclass
class Count:
    """What has come of a phase's units so far."""

    total: int
    began: float = field(default_factory=time.perf_counter)
    first: float = 0.0
    """When the first unit ended: what came before was starting, and tells nothing of the rest."""
    units: int = 0
    failed: int = 0
    rows: int = 0
    tokens: int = 0
    truncated: int = 0
    bad: int = 0

    def add(self, outcome: Outcome) -> None:
        """Take in an outcome; a part of a unit is none, what stands for all of its parts is.

        A suspect is not over yet: what comes of it alone counts.
        """
        if is_unit(outcome):
            self.units += 1
            self.first = self.first or time.perf_counter()
        if isinstance(outcome, Failure):
            self.failed += not outcome.suspect
            return
        self.rows += outcome.rows_out
        self.tokens += outcome.tokens
        self.truncated += outcome.truncated
        self.bad += sum(outcome.bad.values())

    def line(self) -> str:
        """How far, how fast, how much of it bad, and how long yet."""
        left = self.seconds_left()
        later = f", about {left:,.0f} s left" if left else ""
        return f"{self.units:,}/{self.total:,} units, {self.sentence()}{later}"

    def sentence(self) -> str:
        """Rows and tokens with their rates, and what went wrong."""
        took = max(time.perf_counter() - self.began, 1e-9)
        parts = [f"{self.rows:,} rows", f"{self.rows / took:,.0f} rows/s"]
        if self.tokens:
            parts.append(f"{self.tokens / took:,.0f} tokens/s")
            parts.append(f"{self.truncated / max(self.rows, 1):.1%} truncated")
        parts.append(f"{self.bad:,} quarantined")
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        return ", ".join(parts)

    def seconds_left(self) -> float:
        """The time left at the rate since the first unit; 0 where that says nothing."""
        if self.units < 2 or self.units >= self.total:
            return 0.0
        took = time.perf_counter() - self.first
        return (self.total - self.units) * took / (self.units - 1)

    def figures(self) -> dict[str, object]:
        """The same for a log line that a program reads."""
        names = ("units", "total", "failed", "rows", "tokens", "truncated")
        found: dict[str, object] = {name: getattr(self, name) for name in names}
        seconds = round(time.perf_counter() - self.began, 3)
        left = round(self.seconds_left(), 1)
        later = {"seconds_left": left} if left else {}
        return {**found, "quarantined": self.bad, "seconds": seconds, **later}
