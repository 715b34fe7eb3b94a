"""How long replaced files are kept is the table's own property, and can be changed later."""

import pyarrow as pa
import pytest

from operators import columns
from operators.errors import TableError
from operators.storage import log
from operators.storage.parquet import write_shard
from operators.storage.retention import FILES, retention_hours, settle
from operators.storage.table import Table

SCHEMA = pa.schema([columns.ID])


def made(place: str, files: str) -> Table:
    table = Table(place, file_retention=files)
    shard = write_shard(place, "r1", "u", pa.table({"id": ["a"]}, schema=SCHEMA), {})
    table.commit(-1, SCHEMA, [shard], {"n": 0}, "key0")
    return table


@pytest.mark.parametrize(
    ("told", "hours"),
    [
        ("interval 30 days", 720),
        ("interval 1 week", 168),
        ("INTERVAL 36 HOURS", 36),
        ("2 days", 48),
        ("interval 90 minutes", 1.5),
    ],
)
def test_the_promise_is_read_from_the_table(tmp_path, told, hours) -> None:
    made(str(tmp_path), "interval 30 days")
    settle(str(tmp_path), {FILES: told})
    assert retention_hours(str(tmp_path)) == pytest.approx(hours)


def test_a_promise_that_is_no_interval_is_refused(tmp_path) -> None:
    place = str(tmp_path)
    made(place, "interval 30 days")
    entry = tmp_path / "_delta_log" / f"{0:020d}.json"
    entry.write_text(entry.read_text().replace("interval 30 days", "interval 1 blue moon"))
    with pytest.raises(TableError, match="'interval 1 blue moon'; 'interval 30 days' would be"):
        retention_hours(place)


def test_a_changed_retention_takes_a_version_that_keeps_rows_and_lineage(store: str) -> None:
    table = made(store, "interval 30 days")
    assert table.settle_retention() is False
    longer = Table(store, file_retention="interval 60 days")
    assert longer.settle_retention() is True
    assert longer.settle_retention() is False
    assert (table.version(), retention_hours(store)) == (1, 1440)
    assert table.lineage() == {"n": 0, "run_key": "key0"}
    assert [rows["id"].to_pylist() for rows in table.read()] == [["a"]]


def test_a_new_schema_keeps_the_retention(store: str) -> None:
    made(store, "interval 60 days")
    schema = pa.schema([columns.ID, columns.TEXT])
    shard = write_shard(store, "r2", "u", pa.table({"id": ["a"], "text": ["b"]}), {})
    Table(store).commit(0, schema, [shard], {}, "key1")
    assert retention_hours(store) == 1440


def test_a_rollback_brings_the_old_retention_and_the_next_commit_settles_it(store: str) -> None:
    made(store, "interval 30 days")
    longer = Table(store, file_retention="interval 60 days")
    longer.settle_retention()
    longer.rollback(0)
    assert retention_hours(store) == 720
    assert longer.settle_retention() is True
    assert retention_hours(store) == 1440


def test_the_version_of_a_changed_retention_is_told_as_what_it_is(store: str) -> None:
    made(store, "interval 30 days")
    Table(store, file_retention="interval 60 days").settle_retention()
    entry = log.read_entry(store, 1)
    assert entry is not None
    assert entry.operation == "SET TBLPROPERTIES"
    assert (entry.ours or {})["retention"][FILES] == "interval 60 days"
