import json
import os
import time
from pathlib import Path

import polars
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from operators import columns
from operators.errors import ConflictError, TableError
from operators.storage import log, uri
from operators.storage.parquet import Shard, write_shard
from operators.storage.table import Table, TableFile

SCHEMA = pa.schema([columns.ID, columns.embedding(2)])
CODED = pa.schema([columns.ID, columns.embedding(2), columns.codes(2, "int8")])


def stage(place: str, unit: str, run: str = "r1", schema: pa.Schema = SCHEMA) -> Shard:
    rows = [{"id": f"{unit}{n}", "embedding": [0.6, 0.8], "codes": [1, 2]} for n in range(3)]
    return write_shard(place, run, unit, pa.Table.from_pylist(rows, schema=schema), {"unit": unit})


def ids(table: Table, version: int | None = None) -> list[str]:
    return [i for part in table.read(["id"], version) for i in part["id"].to_pylist()]


def test_a_commit_makes_the_staged_files_a_version_with_lineage(store: str) -> None:
    table = Table(store)
    assert table.version() == -1
    shard = stage(store, "a")
    assert table.commit(-1, SCHEMA, [shard], {"fingerprint": "f"}, "key0") == 0
    assert table.files() == [TableFile(shard.path, uri.join(store, shard.path), shard.size, 3)]
    assert table.schema().equals(SCHEMA)
    assert table.schema().field("embedding").metadata == {b"corpusmill.dim": b"2"}
    assert table.lineage() == {"fingerprint": "f", "run_key": "key0"}
    assert ids(table) == ["a0", "a1", "a2"]
    (commit,) = table.history()
    assert (commit.version, commit.lineage) == (0, table.lineage())


def test_shards_that_stay_are_neither_added_nor_removed_again(store: str) -> None:
    table = Table(store)
    stays, goes, comes = stage(store, "a"), stage(store, "b"), stage(store, "c", "r2")
    table.commit(-1, SCHEMA, [stays, goes], {}, "key0")
    assert table.commit(0, SCHEMA, [stays, comes], {}, "key1") == 1
    assert ids(table) == ["a0", "a1", "a2", "c0", "c1", "c2"]
    assert ids(table, 0) == ["a0", "a1", "a2", "b0", "b1", "b2"]
    entry = uri.read_bytes(uri.join(store, f"_delta_log/{1:020d}.json")).decode()
    assert stays.path not in entry


def test_a_new_schema_replaces_the_table_and_its_field_notes(store: str) -> None:
    table = Table(store)
    kept = stage(store, "a")
    table.commit(-1, SCHEMA, [kept], {}, "key0")
    coded = stage(store, "a", schema=CODED)
    with pytest.raises(TableError, match="cannot stay when the schema changes"):
        table.commit(0, CODED, [kept, coded], {}, "key1")
    table.commit(0, CODED, [coded], {}, "key1")
    refitted = CODED.set(2, columns.codes(2, "int8", "other"))
    table.commit(1, refitted, [stage(store, "a", "r3", refitted)], {}, "key2")
    assert table.schema().equals(refitted, check_metadata=True)
    assert table.schema(1).field("codes").metadata != refitted.field("codes").metadata


def test_a_version_without_rows_is_a_version(store: str) -> None:
    table = Table(store)
    assert table.commit(-1, SCHEMA, [], {}, "key0") == 0
    assert (table.version(), table.files(), list(table.read())) == (0, [], [])


def test_a_run_key_that_landed_gives_its_version_again(store: str) -> None:
    table = Table(store)
    table.commit(-1, SCHEMA, [stage(store, "a")], {}, "key0")
    table.commit(0, SCHEMA, [stage(store, "b")], {}, "key1")
    assert table.commit(-1, SCHEMA, [stage(store, "a")], {}, "key0") == 0
    assert table.commit(0, SCHEMA, [stage(store, "b")], {}, "key1") == 1
    assert table.version() == 1


def test_a_stale_commit_is_a_conflict_and_changes_nothing(store: str) -> None:
    table = Table(store)
    table.commit(-1, SCHEMA, [stage(store, "a")], {}, "key0")
    table.commit(0, SCHEMA, [stage(store, "b")], {}, "key1")
    for parent in (-1, 0):
        with pytest.raises(ConflictError, match="version 1 is the newest now") as caught:
            table.commit(parent, SCHEMA, [stage(store, "c")], {}, "key2")
    assert caught.value.exit_code == 5
    assert ids(table) == ["b0", "b1", "b2"]
    with pytest.raises(TableError, match="no version 7 to build on"):
        table.commit(7, SCHEMA, [stage(store, "c")], {}, "key2")


def test_a_missing_or_changed_staged_file_commits_nothing(store: str) -> None:
    table = Table(store)
    good, bad = stage(store, "a"), stage(store, "b")
    uri.write_bytes(uri.join(store, bad.path), b"short")
    with pytest.raises(TableError, match=f"{bad.path} has 5 bytes, its receipt says {bad.size}"):
        table.commit(-1, SCHEMA, [good, bad], {}, "key0")
    uri.delete([uri.join(store, bad.path)])
    with pytest.raises(TableError, match=f"{bad.path} is missing.*nothing was committed"):
        table.commit(-1, SCHEMA, [good, bad], {}, "key0")
    assert table.version() == -1


def test_a_rollback_brings_back_rows_schema_and_lineage_and_keeps_history(store: str) -> None:
    table = Table(store)
    table.commit(-1, SCHEMA, [stage(store, "a")], {"n": 0}, "key0")
    table.commit(0, CODED, [stage(store, "b", schema=CODED)], {"n": 1}, "key1")
    assert table.rollback(0) == 2
    assert ids(table) == ["a0", "a1", "a2"]
    assert table.schema().equals(SCHEMA)
    assert table.lineage() == {"n": 0, "run_key": "key0"}
    assert table.lineage(1) == {"n": 1, "run_key": "key1"}
    assert [commit.version for commit in table.history()] == [2, 1, 0]
    assert table.rollback(1) == 3
    assert table.lineage() == {"n": 1, "run_key": "key1"}
    with pytest.raises(TableError, match="cannot roll back from version 3 to 3"):
        table.rollback(3)


def test_a_run_after_a_rollback_is_not_taken_for_the_version_rolled_back_to(store: str) -> None:
    table = Table(store)
    table.commit(-1, SCHEMA, [stage(store, "a")], {}, "key0")
    table.commit(0, SCHEMA, [stage(store, "b")], {}, "key1")
    table.rollback(0)
    with pytest.raises(ConflictError):
        table.commit(1, SCHEMA, [stage(store, "c")], {}, "key0")


def test_a_rollback_to_deleted_files_is_refused(store: str) -> None:
    table = Table(store)
    old = stage(store, "a")
    table.commit(-1, SCHEMA, [old], {}, "key0")
    table.commit(0, SCHEMA, [stage(store, "b")], {}, "key1")
    uri.delete([uri.join(store, old.path)])
    with pytest.raises(TableError):
        table.rollback(0)
    assert table.version() == 1


def test_lineage_is_found_behind_another_writers_restore_and_housekeeping(store: str) -> None:
    table = Table(store)
    table.commit(-1, SCHEMA, [stage(store, "a"), stage(store, "b")], {"n": 0}, "key0")
    table.commit(0, SCHEMA, [stage(store, "c")], {"n": 1}, "key1")
    log.handle(store).restore(0)
    log.handle(store).optimize.compact()
    assert [commit.operation for commit in table.history()][:2] == ["OPTIMIZE", "RESTORE"]
    assert table.lineage() == {"n": 0, "run_key": "key0"}


@pytest.mark.parametrize("change", ["delete", "append"])
def test_rows_that_another_writer_changed_are_of_no_commit_of_ours(store: str, change: str) -> None:
    table = Table(store)
    shard = stage(store, "a")
    table.commit(-1, SCHEMA, [shard], {"n": 0}, "key0")
    if change == "delete":
        log.handle(store).delete("id = 'a1'")
    else:
        write_deltalake(log.handle(store), next(table.read()), mode="append")
    log.handle(store).optimize.compact()
    assert table.lineage() is None
    assert table.lineage(0) == {"n": 0, "run_key": "key0"}
    table.rollback(0)
    assert table.lineage() == {"n": 0, "run_key": "key0"}


def test_cleaning_up_the_log_keeps_the_newest_lineage(tmp_path: Path) -> None:
    table = Table(str(tmp_path), log_retention="interval 1 days")
    table.commit(-1, SCHEMA, [stage(table.uri, "a")], {"n": 0}, "key0")
    table.commit(0, SCHEMA, [stage(table.uri, "b")], {"n": 1}, "key1")
    table.rollback(0)
    long_ago = time.time() - 10 * 86400
    for entry in (tmp_path / "_delta_log").iterdir():
        os.utime(entry, (long_ago, long_ago))
    delta = DeltaTable(table.uri)
    delta.create_checkpoint()
    delta.cleanup_metadata()
    assert not (tmp_path / "_delta_log" / f"{0:020d}.json").exists()
    assert table.lineage() == {"n": 0, "run_key": "key0"}
    assert table.commit(2, SCHEMA, [stage(table.uri, "c")], {"n": 3}, "key3") == 3
    assert ids(table) == ["c0", "c1", "c2"]


def test_the_log_keeps_retention_and_transaction_as_other_engines_expect(store: str) -> None:
    Table(store).commit(-1, SCHEMA, [stage(store, "a")], {}, "key0")
    delta = log.handle(store)
    assert delta.metadata().configuration == {
        "delta.logRetentionDuration": "interval 365 days",
        "delta.deletedFileRetentionDuration": "interval 30 days",
    }
    assert delta.transaction_version("corpusmill") == 0


def test_other_engines_read_the_table(tmp_path: Path) -> None:
    table = Table(str(tmp_path))
    table.commit(-1, SCHEMA, [stage(table.uri, "a"), stage(table.uri, "b")], {}, "key0")
    expected = ids(table)
    assert sorted(polars.read_delta(table.uri)["id"].to_list()) == expected
    assert sorted(DeltaTable(table.uri).to_pyarrow_table()["id"].to_pylist()) == expected


def test_an_output_path_that_is_not_a_table_is_refused(store: str) -> None:
    shard = stage(store, "a")
    Table(store).check_writable()
    uri.write_bytes(uri.join(store, "notes.txt"), b"mine")
    with pytest.raises(TableError, match="output path that is not a table: holds notes"):
        Table(store).commit(-1, SCHEMA, [shard], {}, "key0")
    with pytest.raises(TableError, match="output path that is not a table: a file"):
        Table(uri.join(store, "notes.txt")).check_writable()
    assert Table(store).version() == -1


def test_reading_what_is_not_there_is_one_sentence(store: str) -> None:
    with pytest.raises(TableError, match="there is no table here"):
        Table(store).files()
    Table(store).commit(-1, SCHEMA, [], {}, "key0")
    with pytest.raises(TableError, match="there is no version 9; the newest is 0"):
        Table(store).files(9)


def test_lineage_is_one_json_string_under_our_key(store: str) -> None:
    Table(store).commit(-1, SCHEMA, [], {"gate": {"rows": 1.5}}, "key0")
    (entry,) = log.handle(store).history()
    expected = {"lineage": {"gate": {"rows": 1.5}, "run_key": "key0"}}
    assert json.loads(entry["corpusmill"]) == expected
