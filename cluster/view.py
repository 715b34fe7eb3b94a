"""One live view of all phases on a terminal: a line a phase, waiting, at work or done."""

import sys
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from cluster.counting import Count


class View:
    """Lines of phases that move in place; what else is said on standard error stands above."""

    def __init__(self, phases: Sequence[str]) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            _Units(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[told]}"),
            console=Console(file=sys.stderr),
        )
        self._tasks: dict[str, TaskID] = {}
        for number, phase in enumerate(phases, 1):
            self._add(phase, f"{number}/{len(phases)} {phase}", "waiting")

    def __enter__(self) -> "View":
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def has(self, phase: str) -> bool:
        """Whether a phase has a line."""
        return phase in self._tasks

    def tell(self, phase: str, sentence: str) -> None:
        """Put a sentence at the end of a phase's line."""
        self._bars.update(self._tasks[phase], told=sentence)

    def begin(self, phase: str, count: Count) -> None:
        """Start a phase's clock; a part of a phase, such as its new texts, gets a line."""
        if phase not in self._tasks:
            self._add(phase, f"    {phase}", "")
        self._bars.reset(self._tasks[phase], total=count.total, told="at work")

    def show(self, phase: str, count: Count) -> None:
        """How far a phase is."""
        self._bars.update(self._tasks[phase], completed=count.units, told=count.sentence())

    def end(self, phase: str) -> None:
        """Stop a phase's clock."""
        self._bars.stop_task(self._tasks[phase])

    def _add(self, phase: str, line: str, told: str) -> None:
        self._tasks[phase] = self._bars.add_task(line, total=None, start=False, told=told)


class _Units(MofNCompleteColumn):
    """Units of how many, once that is known."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.total is not None else Text("")


def on_terminal() -> bool:
    """Whether standard error is a terminal that lines can move on."""
    console = Console(file=sys.stderr)
    return console.is_terminal and not console.is_dumb_terminal
