import json
import os
import time
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest

from operators import columns
from operators.errors import TableError
from operators.storage import uri
from operators.storage.bulk import PARALLEL
from operators.storage.history import versions_with
from operators.storage.parquet import Shard, write_rows, write_shard
from operators.storage.receipts import Receipt, RunFolder
from operators.storage.table import Table
from operators.storage.vacuum import vacuum

SCHEMA = pa.schema([columns.ID])


def stage(place: str, run: str, unit: str, rows: list[str]) -> Shard:
    """A unit's shard, its bookkeeping and a quarantine file, as a run leaves them."""
    shard = write_shard(place, run, unit, pa.table({"id": rows}, schema=SCHEMA), {"run": run})
    folder = RunFolder(place, run)
    folder.register({})
    folder.mark_attempt(unit, "encode")
    name = f"_quarantine/{run}/{unit}.parquet"
    write_rows(uri.join(place, name), pa.table({"id": ["bad"]}))
    folder.write_receipt(Receipt(unit, (shard,), name, 2, 1, 0, 0, {}, 0.0, 0.0, 0, {}))
    return shard


def commit(place: str, run: str, rows: list[str]) -> Shard:
    """A run from its first shard to its finished entry."""
    table = Table(place)
    shard = stage(place, run, "u", rows)
    named = {"quarantine": [f"_quarantine/{run}/u.parquet"]}
    table.commit(table.version(), SCHEMA, [shard], named, run)
    RunFolder(place, run).finish("committed")
    return shard


def sources_path(name: str) -> str:
    return f"_corpusmill/sources/{name}.parquet"


def sources(place: str, name: str) -> str:
    """A list of source files as a scheduled run leaves it."""
    write_rows(uri.join(place, sources_path(name)), pa.table({"file": ["a.jsonl"]}))
    return sources_path(name)


def everything(place: str) -> set[str]:
    return {name for name, _ in uri.list_ages(place, deep=True)}


def test_a_committed_run_keeps_its_rows_and_loses_its_bookkeeping(store: str) -> None:
    shard = commit(store, "r1", ["a"])
    lost = stage(store, "r1", "u", ["another attempt"])
    RunFolder(store, "r1").finish("committed")
    gone = vacuum(store, retention_hours=24, dry_run=False)
    log = {f"_delta_log/{0:020d}.json"}
    assert everything(store) == {shard.path, "_quarantine/r1/u.parquet", *log}
    assert lost.path in gone
    assert {path.split("/")[0] for path in gone} == {"data", "_corpusmill"}
    assert vacuum(store, retention_hours=24, dry_run=False) == []


def test_a_look_deletes_nothing(store: str) -> None:
    commit(store, "r1", ["a"])
    before = everything(store)
    assert vacuum(store, retention_hours=24, dry_run=True) != []
    assert everything(store) == before


def test_a_run_in_flight_loses_nothing_and_can_commit(store: str) -> None:
    commit(store, "r1", ["a"])
    shard = stage(store, "r2", "u", ["b"])
    before = {name for name in everything(store) if "r2" in name}
    vacuum(store, retention_hours=1, dry_run=False)
    assert {name for name in everything(store) if "r2" in name} == before
    assert Table(store).commit(0, SCHEMA, [shard], {}, "r2") == 1


def test_a_vacuum_adds_no_version_that_a_planned_run_would_conflict_with(store: str) -> None:
    for run in ("r1", "r2"):
        commit(store, run, [run])
    time.sleep(1.1)  # S3 counts ages in seconds
    vacuum(store, retention_hours=0, dry_run=False)
    assert Table(store).version() == 1


def test_a_run_given_up_goes_when_it_is_older_than_the_retention(store: str) -> None:
    kept = commit(store, "r1", ["a"])
    stage(store, "r2", "u", ["b"])
    RunFolder(store, "r2").finish("refused")
    vacuum(store, retention_hours=1, dry_run=False)
    assert any("r2" in name for name in everything(store))
    time.sleep(1.1)  # S3 counts ages in seconds
    vacuum(store, retention_hours=0, dry_run=False)
    left = everything(store)
    assert not any("r2" in name for name in left)
    assert kept.path in left


def test_versions_within_the_retention_stay_readable_and_older_ones_go(store: str) -> None:
    old, new = commit(store, "r1", ["a"]), commit(store, "r2", ["b"])
    vacuum(store, retention_hours=1, dry_run=False)
    assert {old.path, new.path, "_quarantine/r1/u.parquet"} < everything(store)
    time.sleep(1.1)  # S3 counts ages in seconds
    gone = vacuum(store, retention_hours=0, dry_run=False)
    assert gone == ["_quarantine/r1/u.parquet", old.path]
    assert [part["id"].to_pylist() for part in Table(store).read()] == [["b"]]


def test_what_a_rollback_brought_back_stays(store: str) -> None:
    old, new = commit(store, "r1", ["a"]), commit(store, "r2", ["b"])
    Table(store).rollback(0)
    time.sleep(1.1)  # S3 counts ages in seconds
    gone = vacuum(store, retention_hours=0, dry_run=False)
    assert new.path in gone
    assert {old.path, "_quarantine/r1/u.parquet"} < everything(store)


def test_files_removed_again_within_the_retention_stay_despite_an_older_removal(
    store: str,
) -> None:
    table = Table(store)
    old, new = commit(store, "r1", ["a"]), commit(store, "r2", ["b"])
    first_removal = time.time()
    table.rollback(0)
    time.sleep(1.1)
    table.rollback(1)
    hours = (time.time() - first_removal - 0.5) / 3600  # only the first removal is older
    vacuum(store, retention_hours=hours, dry_run=False)
    assert {old.path, new.path} < everything(store)


def test_bookkeeping_without_any_table_is_swept_by_age(store: str) -> None:
    stage(store, "r1", "u", ["a"])
    RunFolder(store, "r1").finish("failed")
    assert vacuum(store, retention_hours=1, dry_run=False) == []
    time.sleep(1.1)  # S3 counts ages in seconds
    vacuum(store, retention_hours=0, dry_run=False)
    assert everything(store) == set()


def test_a_run_that_still_works_loses_nothing_however_short_the_retention(store: str) -> None:
    commit(store, "r1", ["a"])
    shard = stage(store, "r2", "u", ["b"])
    source = sources(store, "two")
    time.sleep(1.1)  # S3 counts ages in seconds
    before = {name for name in everything(store) if "r2" in name}
    vacuum(store, retention_hours=0, dry_run=False)
    assert {*before, source} < everything(store)
    assert Table(store).commit(0, SCHEMA, [shard], {}, "r2") == 1


def test_a_run_that_left_nothing_for_a_day_is_dead(tmp_path: Path) -> None:
    place = str(tmp_path)
    commit(place, "r1", ["a"])
    stage(place, "r2", "u", ["b"])
    yesterday = time.time() - 25 * 3600
    for path in tmp_path.rglob("*r2/**/*"):
        os.utime(path, (yesterday, yesterday))
    vacuum(place, retention_hours=1, dry_run=False)
    assert not any("r2" in name for name in everything(place))


def test_lists_of_source_files_stay_as_long_as_a_readable_version_names_them(store: str) -> None:
    table = Table(store)
    for run in ("one", "two"):
        shard = stage(store, run, "u", [run])
        table.commit(table.version(), SCHEMA, [shard], {"source_files": sources(store, run)}, run)
        RunFolder(store, run).finish("committed")
    unnamed = sources(store, "none")
    time.sleep(1.1)  # S3 counts ages in seconds
    assert {sources_path("one"), sources_path("two"), unnamed} < everything(store)
    vacuum(store, retention_hours=1, dry_run=False)
    assert {sources_path("one"), sources_path("two"), unnamed} < everything(store)
    vacuum(store, retention_hours=0, dry_run=False)
    left = {name for name in everything(store) if "sources" in name}
    assert left == {sources_path("two")}


def test_versions_that_lose_a_file_are_told_and_then_say_so_themselves(store: str) -> None:
    old = commit(store, "r1", ["a"])
    commit(store, "r2", ["b"])
    time.sleep(1.1)  # S3 counts ages in seconds
    going = vacuum(store, retention_hours=0, dry_run=True)
    assert versions_with(store, going) == [0]
    Table(store).check_readable(0)
    vacuum(store, retention_hours=0, dry_run=False)
    Table(store).check_readable(1)
    for ask in (Table(store).check_readable, Table(store).rollback):
        with pytest.raises(TableError, match="version 0 can no longer be read") as caught:
            ask(0)
        assert old.path in str(caught.value)
    assert Table(store).version() == 1


def test_a_log_of_many_versions_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    place, entries = str(tmp_path), 4 * PARALLEL
    shard = commit(place, "r1", ["a"])
    added = {"size": 1, "modificationTime": 1, "dataChange": True, "partitionValues": {}}
    for version in range(1, entries):
        info = {"timestamp": version * 1000, "operation": "WRITE", "pad": "x" * 50_000}
        actions: list[dict[str, object]] = [
            {"commitInfo": info},
            {"add": {"path": f"data/r{version}/u-0.parquet", **added}},
            {
                "remove": {
                    "path": shard.path,
                    "deletionTimestamp": version * 1000,
                    "dataChange": True,
                }
            },
        ]
        data = "\n".join(json.dumps(action) for action in actions).encode()
        uri.write_bytes(uri.join(place, f"_delta_log/{version:020d}.json"), data)
        shard = Shard(f"data/r{version}/u-0.parquet", 1, 1, "")
    asked = (
        lambda: vacuum(place, retention_hours=1, dry_run=True),
        lambda: versions_with(place, {"data/r1/u-0.parquet"}),
    )
    for ask in asked:
        ask()  # what it imports is not counted
        tracemalloc.start()
        assert ask()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < entries * 50_000 / 2
