"""Progress a person can follow: a bar on a terminal, a line an interval anywhere else."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from operators.storage.receipts import Receipt
from pipelines.plan import PhasePlan
from pipelines.work import Failure, Outcome

Seen = Callable[[Outcome], None]


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
        """Take in an outcome; a part of a unit is none, what stands for all of its parts is."""
        if ".p" not in outcome.unit:
            self.units += 1
            self.first = self.first or time.perf_counter()
        if isinstance(outcome, Failure):
            self.failed += 1
            return
        self.rows += outcome.rows_out
        self.tokens += outcome.tokens
        self.truncated += outcome.truncated
        self.bad += sum(outcome.bad.values())

    def line(self) -> str:
        """How far, how fast, how much of it bad, and how long yet."""
        return f"{self.units:,}/{self.total:,} units, {self.sentence()}{self.remaining()}"

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

    def remaining(self) -> str:
        """The time left at the rate since the first unit; nothing where that says nothing."""
        if self.units < 2 or self.units >= self.total:
            return ""
        took = time.perf_counter() - self.first
        left = (self.total - self.units) * took / (self.units - 1)
        return f", about {left:,.0f} s left"


@dataclass(frozen=True)
class Progress:
    """Tells what happens, on standard error."""

    interval: float = 10.0
    """Seconds between lines where there is no terminal."""
    quiet: bool = False

    def say(self, sentence: str) -> None:
        """One line for the reader."""
        if not self.quiet:
            _console().print(sentence, highlight=False, soft_wrap=True)

    @contextmanager
    def phase(self, plan: PhasePlan, receipts: Mapping[str, Receipt]) -> Iterator[Seen]:
        """Follow a phase's units; yields what to call with every outcome."""
        reused = len(plan.units) - len(plan.pending(receipts))
        count = Count(len(plan.units) - reused)
        name = f"phase {plan.phase.name}"
        if reused:
            self.say(f"{name}: {reused} of {len(plan.units)} units were finished before")
        shown = self._bar if _console().is_terminal and not self.quiet else self._lines
        with shown(name, count) as seen:
            yield seen
        self.say(f"{name}: {count.line()}")

    @contextmanager
    def _bar(self, name: str, count: Count) -> Iterator[Seen]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[facts]}"),
        )
        with Bar(*columns, console=_console()) as bar:
            task = bar.add_task(name, total=count.total, facts="")

            def seen(outcome: Outcome) -> None:
                count.add(outcome)
                bar.update(task, completed=count.units, facts=count.sentence())

            yield seen

    @contextmanager
    def _lines(self, name: str, count: Count) -> Iterator[Seen]:
        """A line an interval, whether or not a unit ended in it."""
        ended = threading.Event()

        def tell() -> None:
            while not ended.wait(self.interval):
                self.say(f"{name}: {count.line()}")

        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            yield count.add
        finally:
            ended.set()
            teller.join()


def _console() -> Console:
    return Console(file=sys.stderr)
