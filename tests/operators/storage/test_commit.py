import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from operators import columns
from operators.errors import ConflictError, TableError
from operators.storage import bulk, log, uri
from operators.storage.commit import Change, check_written, explain_refusal, landed
from operators.storage.parquet import Shard, write_shard
from operators.storage.table import Table

ROOT = Path(__file__).parents[3]
SCHEMA = pa.schema([columns.ID])

COMMIT = """
import sys
import pyarrow as pa
from operators.errors import ConflictError
from operators.storage.parquet import write_shard
from operators.storage.table import Table
place, name, parent = sys.argv[1], sys.argv[2], int(sys.argv[3])
shard = write_shard(place, name, "u", pa.table({"id": [name]}), {})
print("ready", flush=True)
sys.stdin.readline()
try:
    print(Table(place).commit(parent, pa.schema([("id", pa.string())]), [shard], {}, name))
except ConflictError as error:
    print("conflict")
"""


def stage(place: str, name: str) -> Shard:
    return write_shard(place, name, "u", pa.table({"id": [name]}, schema=SCHEMA), {})


def attempt(place: str, parent: int, shards: list[Shard], run_key: str) -> int | None:
    try:
        return Table(place).commit(parent, SCHEMA, shards, {}, run_key)
    except ConflictError:
        return None


@pytest.mark.parametrize("kept", [[], ["kept"]])
@pytest.mark.parametrize("parent", [-1, 0])
def test_of_eight_threads_that_commit_at_once_one_wins(
    store: str, parent: int, kept: list[str]
) -> None:
    stays = [stage(store, name) for name in kept]
    if parent == 0:
        Table(store).commit(-1, SCHEMA, stays, {}, "first")
    names = [f"run{n}" for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        versions = list(
            pool.map(lambda n: attempt(store, parent, [*stays, stage(store, n)], n), names)
        )
    winners = [name for name, version in zip(names, versions, strict=True) if version is not None]
    assert len(winners) == 1
    table = Table(store)
    assert table.version() == parent + 1
    assert table.lineage() == {"run_key": winners[0]}
    assert [i for part in table.read() for i in part["id"].to_pylist()] == [*kept, *winners]


def test_of_two_processes_that_commit_at_once_one_wins(store: str) -> None:
    command = [sys.executable, "-c", COMMIT, store]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    racers = [subprocess.Popen([*command, name, "-1"], **pipes) for name in ("left", "right")]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    outcomes = [racer.communicate()[0].strip() for racer in racers]
    assert sorted(outcomes) == ["0", "conflict"]
    assert [part["id"].to_pylist() for part in Table(store).read()] == [
        [("left", "right")[outcomes.index("0")]]
    ]


def test_two_attempts_of_one_run_key_both_get_its_one_version(store: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        shards = [stage(store, "run")]
        versions = list(pool.map(lambda _: attempt(store, -1, shards, "key"), range(4)))
    assert versions == [0, 0, 0, 0]
    assert Table(store).version() == 0


def test_a_log_entry_of_another_run_is_not_taken_for_ours(store: str) -> None:
    shard = stage(store, "theirs")
    Table(store).commit(-1, SCHEMA, [shard], {}, "theirs")
    ours = Change(-1, SCHEMA, (shard,), (), keeps=False)
    check_written(store, ours, "theirs")
    with pytest.raises(ConflictError, match="version 0 is another run's"):
        check_written(store, ours, "ours")
    other_files = Change(-1, SCHEMA, (stage(store, "more"),), (), keeps=False)
    with pytest.raises(ConflictError, match="does not honour conditional writes"):
        check_written(store, other_files, "theirs")


def test_a_log_entry_that_vanished_is_reported(store: str) -> None:
    Table(store).commit(-1, SCHEMA, [], {}, "key")
    uri.delete([uri.join(store, "_delta_log", f"{0:020d}.json")])
    with pytest.raises(TableError, match="accepted the commit of version 0 but does not have it"):
        check_written(store, Change(-1, SCHEMA, (), (), keeps=False), "key")


def test_a_refusal_after_our_own_commit_landed_is_no_conflict(store: str) -> None:
    Table(store).commit(-1, SCHEMA, [], {}, "key")
    refusal = log.DeltaError("the answer was lost")
    assert explain_refusal(store, -1, "key", refusal) == 0
    with pytest.raises(ConflictError, match="another run committed version 0 first"):
        explain_refusal(store, -1, "other", refusal)
    with pytest.raises(TableError, match="the answer was lost"):
        explain_refusal(store, 0, "other", refusal)


def test_only_versions_after_the_parent_are_searched_for_a_run_key(store: str) -> None:
    table = Table(store)
    for version in range(3):
        table.commit(version - 1, SCHEMA, [], {}, f"key{version}")
    assert landed(store, -1, 2, "key1") == 1
    assert landed(store, 1, 2, "key1") is None
    assert DeltaTable(store, storage_options=bulk.options(store)).version() == 2
