"""Which logical date is due, and what is remembered of those that are over."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cluster.cron import cron
from cluster.dates import told
from cluster.due import Memory, begun, due
from operators.errors import TableError
from operators.storage import uri as storage

NIGHTLY = cron("0 3 * * *")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
LAST = NOON - timedelta(hours=9)
"""The newest date of `NIGHTLY` at `NOON`."""


def memory_in(folder: Path | str) -> Memory:
    return Memory(str(folder), "nightly")


def test_of_missed_dates_the_newest_is_due_or_each_from_the_oldest(tmp_path):
    memory = memory_in(tmp_path)
    memory.settle(LAST - 3 * DAY, 0)
    assert due(NIGHTLY, memory, NOON, catch_up=False) == LAST
    assert due(NIGHTLY, memory, NOON, catch_up=True) == LAST - 2 * DAY
    memory.settle(LAST, 0)
    assert due(NIGHTLY, memory, NOON, catch_up=False) is None
    assert due(NIGHTLY, memory, NOON, catch_up=True) is None


def test_what_was_settled_outlives_the_process_on_any_store(store):
    memory_in(store).settle(LAST - DAY, 0)
    assert due(NIGHTLY, memory_in(store), NOON, catch_up=False) == LAST
    assert json.loads(storage.read_bytes(memory_in(store).uri)) == {
        "date": told(LAST - DAY),
        "exit_code": 0,
    }


def test_dates_before_the_first_start_were_not_missed(tmp_path):
    begun(memory_in(tmp_path), NOON)
    assert due(NIGHTLY, memory_in(tmp_path), NOON, catch_up=True) is None
    assert due(NIGHTLY, memory_in(tmp_path), NOON + DAY, catch_up=True) == LAST + DAY
    begun(memory_in(tmp_path), NOON + DAY)
    assert due(NIGHTLY, memory_in(tmp_path), NOON + DAY, catch_up=True) == LAST + DAY


def test_a_schedule_that_never_began_owes_its_newest_date(tmp_path):
    assert due(NIGHTLY, memory_in(tmp_path), NOON, catch_up=True) == LAST


def test_a_memory_that_is_damaged_is_named(tmp_path):
    memory = memory_in(tmp_path)
    for content in (b"", b"[]", b"{}", b'{"date": "soon"}'):
        storage.write_bytes(memory.uri, content)
        with pytest.raises(TableError, match=r"nightly\.json: not what a schedule remembers"):
            memory.recall(NOON)
