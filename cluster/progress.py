"""Progress a person can follow: one view of all phases on a terminal, lines anywhere else."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from cluster import logs
from cluster.counting import Count
from cluster.view import View, on_terminal
from cluster.watching import Stage, Watcher
from operators.storage.receipts import Receipt
from pipelines.plan import PhasePlan
from pipelines.work import Outcome

Seen = Callable[[Outcome], None]
_NOTHING: Mapping[str, object] = {}


@dataclass
class Progress:
    """Tells what happens on standard error, and passes every outcome on to those who watch."""

    interval: float = 10.0
    """Seconds between lines where there is no terminal."""
    quiet: bool = False
    watchers: Sequence[Watcher] = ()
    _phases: tuple[str, ...] = field(default=(), init=False)
    _view: View | None = field(default=None, init=False)

    def say(
        self, sentence: str, about: Mapping[str, object] = _NOTHING, level: int = logging.INFO
    ) -> None:
        """One line for the reader; about a phase of the view, the end of that phase's line."""
        phase = str(about.get("phase", ""))
        if self._view is not None and self._view.has(phase) and level < logging.WARNING:
            self._view.tell(phase, sentence)
        elif not self.quiet:
            logs.say(sentence, about, level)

    @contextmanager
    def over(self, phases: Sequence[str]) -> Iterator[None]:
        """Follow a pipeline of these phases."""
        self._phases = tuple(phases)
        if self.quiet or logs.are_json() or not on_terminal():
            yield
            return
        try:
            with View(phases) as self._view:
                yield
        finally:
            self._view = None

    @contextmanager
    def phase(self, plan: PhasePlan, receipts: Mapping[str, Receipt]) -> Iterator[Seen]:
        """Follow a phase's units; yields what to call with every outcome."""
        stage = Stage.of(plan, receipts)
        count, about = Count(stage.waiting), stage.about
        if before := stage.units - stage.waiting:
            self.say(f"{before} of {stage.units} units were finished before", about)
        for watcher in self.watchers:
            watcher.begins(stage)
        shown = self._lines if self._view is None else self._moving
        with shown(stage, count) as show:

            def seen(outcome: Outcome) -> None:
                count.add(outcome)
                show()
                for watcher in self.watchers:
                    watcher.saw(stage, outcome)

            try:
                yield seen
            finally:
                for watcher in self.watchers:
                    watcher.ends(stage)
        self.say(count.line(), about | (count.figures() if logs.are_json() else {}))

    @contextmanager
    def _moving(self, stage: Stage, count: Count) -> Iterator[Callable[[], None]]:
        view = self._view
        assert view is not None
        view.begin(stage.phase, count)
        try:
            yield lambda: view.show(stage.phase, count)
        finally:
            view.end(stage.phase)

    @contextmanager
    def _lines(self, stage: Stage, count: Count) -> Iterator[Callable[[], None]]:
        """A line an interval, whether or not a unit ended in it."""
        ended, about = threading.Event(), stage.about | self._place(stage)

        def tell() -> None:
            while not ended.wait(self.interval):
                self.say(count.line(), about | (count.figures() if logs.are_json() else {}))

        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            yield lambda: None
        finally:
            ended.set()
            teller.join()

    def _place(self, stage: Stage) -> dict[str, object]:
        """Which phase of how many, where there are several."""
        name = stage.phase.partition(",")[0]
        if len(self._phases) < 2 or name not in self._phases:
            return {}
        return {"number": self._phases.index(name) + 1, "phases": len(self._phases)}
