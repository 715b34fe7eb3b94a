"""What older versions hold, and a log that begins at a version."""

import pyarrow as pa
import pytest

from operators import columns
from operators.errors import TableError
from operators.storage import uri
from operators.storage.history import begin_at, contents, live
from operators.storage.parquet import Shard, write_shard
from operators.storage.table import Table

SCHEMA = pa.schema([columns.ID])


def stage(place: str, run: str) -> Shard:
    return write_shard(place, run, "u", pa.table({"id": [run]}, schema=SCHEMA), {})


def versions(place: str) -> list[frozenset[str]]:
    """Four versions: one file, two, a rollback to one, another one; their files."""
    table = Table(place)
    one, two, three = (stage(place, run) for run in ("r1", "r2", "r3"))
    table.commit(-1, SCHEMA, [one], {"n": 0}, "k0")
    table.commit(0, SCHEMA, [one, two], {"n": 1}, "k1")
    table.rollback(0)
    table.commit(2, SCHEMA, [three], {"n": 3}, "k3")
    held = ([one], [one, two], [one], [three])
    return [frozenset(shard.path for shard in shards) for shards in held]


def test_the_files_of_every_version_are_known_from_the_log(store: str) -> None:
    assert dict(contents(store)) == {}
    assert live(store) == frozenset()
    held = versions(store)
    assert dict(contents(store)) == dict(enumerate(held))
    assert [live(store, version) for version in range(4)] == held


def test_a_log_that_begins_at_a_version_has_that_version_whole_and_says_what_is_gone(
    store: str,
) -> None:
    held = versions(store)
    table = Table(store)
    with pytest.raises(TableError, match="version 2 is no longer the newest"):
        begin_at(store, 2)
    for _ in range(2):  # repeating it does no harm
        begin_at(store, 3)
        assert dict(contents(store)) == {3: held[3]}
        assert table.lineage() == {"n": 3, "run_key": "k3"}
        assert [commit.version for commit in table.history()] == [3]
    names = uri.list_names(uri.join(store, "_delta_log"))
    assert sorted(names) == [
        f"{3:020d}.checkpoint.parquet",
        f"{3:020d}.json",
        "_last_checkpoint",
    ]
    for ask in (table.files, table.rollback, table.check_readable):
        with pytest.raises(TableError, match="version 1 can no longer be read: the log begins"):
            ask(1)
    assert table.commit(3, SCHEMA, [stage(store, "r4")], {"n": 4}, "k4") == 4
    assert table.rollback(3) == 5
    assert dict(contents(store))[5] == held[3]


def test_a_log_cut_short_midway_is_cut_again(store: str) -> None:
    held = versions(store)
    begin_at(store, 3)
    uri.write_bytes(uri.join(store, "_delta_log", f"{2:020d}.json"), b"{}")
    assert dict(contents(store)) == {3: held[3]}
    begin_at(store, 3)
    assert f"{2:020d}.json" not in uri.list_names(uri.join(store, "_delta_log"))
