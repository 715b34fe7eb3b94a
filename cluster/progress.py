"""Progress a person can follow: a bar on a terminal, a line an interval anywhere else."""

import sys
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
class _Count:
    total: int
    reused: int
    began: float = field(default_factory=time.perf_counter)
    units: int = 0
    rows: int = 0
    tokens: int = 0
    truncated: int = 0
    bad: int = 0

    def add(self, outcome: Outcome) -> None:
        if isinstance(outcome, Failure):
            self.units += 1
            return
        if outcome.parts < 0:
            self.units += ".p" not in outcome.unit
            self.rows += outcome.rows_out
            self.tokens += outcome.tokens
            self.truncated += outcome.truncated
            self.bad += sum(outcome.bad.values())
        else:
            self.units += 1

    def sentence(self) -> str:
        took = max(time.perf_counter() - self.began, 1e-9)
        parts = [f"{self.rows:,} rows", f"{self.rows / took:,.0f} rows/s"]
        if self.tokens:
            parts.append(f"{self.tokens / took:,.0f} tokens/s")
            parts.append(f"{self.truncated / max(self.rows, 1):.1%} truncated")
        parts.append(f"{self.bad:,} quarantined")
        return ", ".join(parts)

    def remaining(self) -> str:
        took = time.perf_counter() - self.began
        left = (self.total - self.units) * took / max(self.units, 1)
        return f", about {left:,.0f} s left" if self.units else ""


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
        count = _Count(len(plan.units) - reused, reused)
        name = f"phase {plan.phase.name}"
        if reused:
            self.say(f"{name}: {reused} of {len(plan.units)} units were finished before")
        shown = self._bar if _console().is_terminal and not self.quiet else self._lines
        with shown(name, count) as seen:
            yield seen
        self.say(f"{name}: {count.units}/{count.total} units, {count.sentence()}")

    @contextmanager
    def _bar(self, name: str, count: _Count) -> Iterator[Seen]:
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
    def _lines(self, name: str, count: _Count) -> Iterator[Seen]:
        last = count.began

        def seen(outcome: Outcome) -> None:
            nonlocal last
            count.add(outcome)
            if time.perf_counter() - last >= self.interval:
                last = time.perf_counter()
                units = f"{count.units}/{count.total} units"
                self.say(f"{name}: {units}, {count.sentence()}{count.remaining()}")

        yield seen


def _console() -> Console:
    return Console(file=sys.stderr)
