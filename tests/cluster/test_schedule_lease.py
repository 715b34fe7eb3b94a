"""A date that a lease keeps out: another date's settles it, its own is waited for once."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cluster.dates import told
from cluster.schedule import Schedule, once
from operators.storage.lease import Holder, take
from tests.cluster.test_schedule import DAY, ending, memory_in, minutes_ago

MINUTE = timedelta(minutes=1)


def leave(table: Path, date: datetime, ttl: float = 0.2) -> None:
    """The lease of a run of that date which died with its container."""
    holder = replace(Holder.this_process(told(date), ttl), machine="a container that is gone")
    take(str(table), holder)


def ends(said: list[str]) -> list[tuple[str, str]]:
    """Date and outcome of each line."""
    return [(line.split("  ")[0], line.split("  ")[1]) for line in said]


def waiting(schedule: Schedule, then: Callable[[], None]) -> None:
    """Have something happen when the schedule begins to wait for a lease."""
    say = schedule.say

    def also(line: str) -> None:
        say(line)
        if "tried again" in line:
            then()

    schedule.say = also


def test_a_date_that_its_own_dead_run_keeps_out_runs_once_the_lease_has_lapsed(tmp_path):
    memory, said = memory_in(tmp_path), list[str]()
    first = minutes_ago(5)
    memory.settle(first, 0)
    leave(tmp_path, first + MINUTE)
    assert ending(memory, [5, 0, 1], said, catch_up=True).work() == 1
    date = told(first + MINUTE)
    assert ends(said) == [
        (date, "exit 5"),
        (date, "tried again in 1 s: its own lease is held"),
        (date, "exit 0"),
        (told(first + 2 * MINUTE), "exit 1"),
    ]
    assert memory_in(tmp_path).recall(datetime.now(UTC)) == first + MINUTE


def test_a_date_whose_own_run_is_still_at_work_after_that_stays_open(tmp_path):
    memory, said = memory_in(tmp_path), list[str]()
    first = minutes_ago(5)
    memory.settle(first, 0)
    leave(tmp_path, first + MINUTE)
    assert ending(memory, [5, 5], said, catch_up=True).work() == 5
    assert [outcome for _, outcome in ends(said)][::2] == ["exit 5", "exit 5"]
    assert memory_in(tmp_path).recall(datetime.now(UTC)) == first


def test_a_date_that_another_ones_run_keeps_out_is_over(tmp_path):
    memory, said = memory_in(tmp_path), list[str]()
    first = minutes_ago(5)
    memory.settle(first, 0)
    leave(tmp_path, first, ttl=600)
    assert ending(memory, [5, 1], said, catch_up=True).work() == 1
    assert ends(said) == [
        (told(first + MINUTE), "exit 5"),
        (told(first + 2 * MINUTE), "exit 1"),
    ]


def test_a_date_that_was_settled_while_its_lease_was_waited_for_is_not_run_again(tmp_path):
    memory, said = memory_in(tmp_path), list[str]()
    first = minutes_ago(5)
    memory.settle(first, 0)
    leave(tmp_path, first + MINUTE)
    schedule = ending(memory, [5], said, catch_up=True)
    waiting(schedule, lambda: memory_in(tmp_path).settle(first + DAY, 0))
    assert once(schedule) == 0
    assert said[-1].startswith("nothing is due")


def test_a_schedule_that_is_stopped_waits_for_no_lease(tmp_path):
    memory, said = memory_in(tmp_path), list[str]()
    first = minutes_ago(5)
    memory.settle(first, 0)
    leave(tmp_path, first + MINUTE, ttl=600)
    schedule = ending(memory, [5], said, catch_up=True)
    waiting(schedule, schedule.stop)
    assert schedule.work() is None
    assert len(said) == 2
