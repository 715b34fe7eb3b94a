"""Run a config on the dates of a cron, each run in a process of its own, on APScheduler's clock."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any

from cluster.cron import Cron
from cluster.dates import told
from cluster.due import SETTLED, Memory, begun, due
from cluster.logs import error_in
from operators.errors import ConflictError, CorpusmillError
from operators.storage.lease import lapses_in

Say = Callable[[str], None]
_SLACK = 1.0
"""Seconds that a store which tells time in whole ones may be off."""


@dataclass(frozen=True)
class Outcome:
    """What came of the run of one date."""

    date: str
    code: int
    seconds: float
    said: str

    @property
    def line(self) -> str:
        """For a log: date, exit code, duration, and what the run said of itself."""
        return f"{self.date}  exit {self.code}  {self.seconds:.1f} s  {self.said}"


@dataclass
class Schedule:
    """A config, the dates it runs on, and the run that is at work."""

    cron: Cron
    command: Sequence[str]
    """What runs the config; the date is appended."""
    memory: Memory
    say: Say
    catch_up: bool = False
    _stopped: threading.Event = field(default_factory=threading.Event, init=False)
    _child: subprocess.Popen[str] | None = field(default=None, init=False)
    _one_start: threading.Lock = field(default_factory=threading.Lock, init=False)
    _one_run: threading.Lock = field(default_factory=threading.Lock, init=False)

    def work(self) -> int | None:
        """Run what is due until nothing is; the last exit code, None when nothing was due.

        A date that stays open ends it: what failed a moment ago would fail again. But where the
        run at work is of the same date, it may be dead: once its lease has lapsed, the date is
        tried once more, and stays open while that run lives, for it settles the date itself.
        """
        code, waited = None, None
        with self._one_run:
            while (date := self._due()) and (outcome := self._run(date)):
                code = outcome.code
                self.say(outcome.line)
                left = self._lapses_in(outcome)
                if left is not None and date != waited:
                    code, waited = None, date
                    self.say(f"{outcome.date}  tried again in {left:,.0f} s: its own lease is held")
                    self._stopped.wait(left)
                elif left is not None or code not in SETTLED:
                    return code
                else:
                    self.memory.settle(date, code)
        return code

    def work_on(self) -> None:
        """The same for a schedule that goes on whatever happens: a fault is told, not raised."""
        try:
            self.work()
        except CorpusmillError as error:
            self.say(f"error: {error}; the schedule goes on with its next date")

    def stop(self) -> None:
        """Begin no further run and end the one that is at work, cleanly."""
        with self._one_start:
            self._stopped.set()
            if self._child is not None:
                self._child.terminate()

    def next_date(self) -> str:
        """The next date from now."""
        return told(self.cron.after(datetime.now(UTC)))

    def _due(self) -> datetime | None:
        now = datetime.now(UTC)
        if self._stopped.is_set():
            return None
        return due(self.cron, self.memory, now, catch_up=self.catch_up)

    def _lapses_in(self, outcome: Outcome) -> float | None:
        """Seconds until the run that kept this one out is dead, if it is of the same date."""
        if outcome.code != ConflictError.exit_code:
            return None
        left = lapses_in(self.memory.table, outcome.date)
        return None if left is None else left + _SLACK

    def _run(self, date: datetime) -> Outcome | None:
        """Run one date to its end; None when the schedule was stopped before."""
        command, began = [*self.command, "--date", told(date)], time.monotonic()
        with self._one_start:
            if self._stopped.is_set():
                return None
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,  # a Ctrl-C is this process's to pass on
            )
        with self._child as child:
            try:
                said = _listen(child)
            except BaseException:
                child.terminate()
                child.wait()
                raise
        code = child.returncode
        code = code if code >= 0 else 128 - code
        return Outcome(told(date), code, time.monotonic() - began, said)


def serve(schedule: Schedule) -> None:
    """Run on every date until SIGTERM or SIGINT; then the run at work is stopped and waited for.

    CorpusmillError when the storage cannot be read at the start; later faults are told only.
    """
    from apscheduler.schedulers.blocking import BlockingScheduler

    scheduler = BlockingScheduler(timezone=UTC)
    try:
        begun(schedule.memory, datetime.now(UTC))
        scheduler.add_job(
            schedule.work_on,
            _trigger(schedule.cron),
            next_run_time=datetime.now(UTC),  # what was missed
            misfire_grace_time=None,
            coalesce=True,
            max_instances=2,  # the second waits for the first, lest a date fall between two
        )
        schedule.say(f"the next date is {schedule.next_date()}")
        scheduler.start()
    except (KeyboardInterrupt, SystemExit):
        schedule.stop()
    finally:
        if scheduler.running:
            scheduler.shutdown(wait=True)
    schedule.say("stopped; a run that was interrupted goes on with the next start")


def once(schedule: Schedule) -> int:
    """Run what is due and return the exit code of the last run; 0 when nothing is due."""
    code = schedule.work()
    if code is None:
        settled = schedule.memory.settled
        before = f"; {told(settled)} is settled" if settled else ""
        schedule.say(f"nothing is due{before}, the next date is {schedule.next_date()}")
    return code or 0


def _trigger(cron: Cron) -> Any:
    from apscheduler.triggers.base import BaseTrigger

    class OnDates(BaseTrigger):  # type: ignore[misc]  # a library without types
        def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
            return cron.after(now)

    return OnDates()


def _listen(child: subprocess.Popen[str]) -> str:
    """Pass on what a run tells of its progress; what it said of its result, or its error."""
    errors: list[str] = []
    assert child.stdout is not None
    assert child.stderr is not None
    listener = threading.Thread(target=_pass_on, args=(child.stderr, errors), daemon=True)
    listener.start()
    said = "; ".join(child.stdout.read().splitlines())
    listener.join()
    child.wait()
    return "; ".join([*([said] if said else []), *errors[-1:]]) or "it said nothing"


def _pass_on(stream: IO[str], errors: list[str]) -> None:
    for line in stream:
        sys.stderr.write(line)
        sys.stderr.flush()
        if error := error_in(line):
            errors.append(error)
