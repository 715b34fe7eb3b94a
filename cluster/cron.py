"""Cron expressions as crontab means them, on APScheduler's trigger."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import Any
from zoneinfo import ZoneInfo

from operators.errors import ConfigError

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""By crontab's numbers, in which both 0 and 7 are Sunday."""
_FIELDS = "minute hour day-of-month month day-of-week"
_TICK = timedelta(microseconds=1)
_LONGEST = timedelta(days=8 * 366)
"""No cron waits longer: from one 29 February over a century's end to the next."""


@dataclass(frozen=True)
class Cron:
    """The dates of a schedule; made by `cron`."""

    zone: ZoneInfo
    trigger: Any
    """APScheduler's, which has no types. It runs on the wall clock as if that never changed: with
    a zone it leaves out the midnight after a spring night (3.11.3, a test counts the dates)."""

    def after(self, moment: datetime) -> datetime:
        """The first date after a moment, in UTC.

        A wall clock's time that is skipped comes that much later; one that is repeated comes once.
        """
        date, wall = moment, moment.astimezone(self.zone).replace(tzinfo=UTC)
        while date <= moment:
            wall = self.trigger.get_next_fire_time(None, wall + _TICK)
            date = wall.replace(tzinfo=self.zone).astimezone(UTC)
        return date

    def between(self, since: datetime, until: datetime) -> Iterator[datetime]:
        """The dates after `since` up to and with `until`, oldest first."""
        date = self.after(since)
        while date <= until:
            yield date
            date = self.after(date)

    def newest(self, since: datetime, until: datetime) -> datetime | None:
        """The last date after `since` up to and with `until`; None when there is none."""
        span = timedelta(minutes=1)
        while True:
            start = max(since, until - span)
            dates = deque(self.between(start, until), maxlen=1)
            if dates or start == since:
                return dates[0] if dates else None
            span *= 2

    def last(self, until: datetime) -> datetime | None:
        """The last date up to and with `until`."""
        return self.newest(until - _LONGEST, until)


def cron(expression: str, timezone: str = "UTC") -> Cron:
    """Read five crontab fields; ConfigError for what is none, for no zone, or without APScheduler.

    As in crontab 0 and 7 are Sunday, and a date fits either of a day of the month and a day of the
    week where both are given.
    """
    if find_spec("apscheduler") is None:
        problem = "schedule needs the package apscheduler; install corpusmill[schedule]"
        raise ConfigError((problem,))
    try:
        zone = ZoneInfo(timezone)
    except (KeyError, ValueError, OSError) as error:
        problem = "no such time zone; expected a name such as UTC or Europe/Paris"
        raise ConfigError((f"--timezone {timezone}: {problem}",)) from error
    try:
        trigger = _trigger(expression)
    except ValueError as error:
        problem = f"{error}; expected five fields ({_FIELDS}), such as '0 3 * * *'"
        raise ConfigError((f"--cron {expression!r}: {problem}",)) from error
    if trigger.get_next_fire_time(None, datetime.now(UTC)) is None:
        raise ConfigError((f"--cron {expression!r}: there is no such date in any year",))
    return Cron(zone, trigger)


def _trigger(expression: str) -> Any:
    from apscheduler.triggers.combining import OrTrigger
    from apscheduler.triggers.cron import CronTrigger

    fields = expression.split()
    if len(fields) != 5:
        raise ValueError(f"{len(fields)} fields")
    minute, hour, day, month, weekday = fields
    times = {"minute": minute, "hour": hour, "month": month, "timezone": UTC}
    weekdays = weekday if weekday == "*" else _weekdays(weekday.lower())
    if day.startswith("*") or weekday.startswith("*"):
        return CronTrigger(day=day, day_of_week=weekdays, **times)
    either = CronTrigger(day=day, **times), CronTrigger(day_of_week=weekdays, **times)
    return OrTrigger(list(either))


def _weekdays(field: str) -> str:
    """Crontab's days of the week by name; APScheduler counts from Monday and knows no 7."""
    chosen: set[str] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = ("0-6" if span == "*" else span).partition("-")
        low = _number(first)
        high = (_number(last) or 7) if last else (6 if step else low)
        if low > high or (step and not (step.isdecimal() and int(step))):
            raise ValueError(f"{part!r} is no day of the week, nor a range of them")
        chosen.update(_DAYS[low : high + 1 : int(step or 1)])
    return ",".join(sorted(chosen))


def _number(day: str) -> int:
    if day in _DAYS:
        return _DAYS.index(day)
    if day.isdecimal() and int(day) < len(_DAYS):
        return int(day)
    raise ValueError(f"{day!r} is no day of the week (0 to 7, or sun to sat)")
