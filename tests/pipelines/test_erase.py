"""Erased rows are nowhere: not in the newest version, not in history, not in any side file."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from operators import columns
from operators.errors import ConfigError, ConflictError, TableError
from operators.storage import uri as files
from operators.storage.parquet import opened, write_rows, write_shard
from operators.storage.table import Table
from pipelines.erase import Request, erase, plan_erasure, prove
from pipelines.verify import verify_table
from tests.erased_tables import (
    EXAMPLES,
    NAME,
    PASSAGE,
    built,
    erased,
    everything,
    holders,
    ids_of,
)
from tests.versions import commit, row, schema, shard


@pytest.fixture
def table(store: str) -> str:
    return built(f"{store}/table")


def test_an_erased_id_and_its_passages_are_nowhere_on_storage(table):
    assert len(holders(table)) > 6
    hashed = [path for path in everything(table) if "/keys/" in path]
    untouched = next(f for f in Table(table).files() if f.path.startswith("data/r0"))
    assert erased(table, NAME, "unheard of") == 3
    assert holders(table) == []
    assert ids_of(table) == ["a", "b", "x", "y"]
    assert untouched in Table(table).files()
    assert len(hashed) == 2
    assert not set(hashed) & set(everything(table))
    assert everything(table)["_corpusmill/artefacts/learned.safetensors"] == b"\x00\x01"
    with opened(f"{table}/_quarantine/r1/u9.parquet") as file:
        assert file.read()["id"].to_pylist() == ["a"]


def test_the_plan_says_what_goes_before_anything_is_touched(table):
    before = everything(table)
    planned = plan_erasure(Request(table, (NAME, "unheard of")))
    assert (planned.rows, planned.unknown, planned.lost) == (1, 1, (0, 1, 2))
    assert [file.path.split("/")[1] for file in planned.affected] == ["r2"]
    assert not planned.cuts_log
    assert everything(table) == before


def test_versions_that_held_it_say_that_they_are_gone_and_others_stay(tmp_path):
    place = str(tmp_path)
    commit(place, [shard(place, "r0", "u0", [row("a")])])
    commit(place, [shard(place, "r1", "u0", [row("a"), row(NAME)])])
    assert erased(place, NAME) == 2
    assert ids_of(place, 0) == ["a"]
    with pytest.raises(TableError, match="version 1 can no longer be read: vacuum or erase delet"):
        Table(place).rollback(1)
    assert Table(place).rollback(0) == 3


def test_the_new_version_tells_what_it_lost_and_keeps_the_rest_of_its_lineage(table):
    before = Table(table).lineage() or {}
    erased(table, NAME)
    after = Table(table).lineage() or {}
    assert after["erased"].pop("rows") == 1
    assert after.pop("erased").keys() == {"at"}
    assert after.pop("run_key").startswith("erase-")
    assert (after.pop("counts"), after.pop("kept_rows")) == ({"rows_out": 4}, 0)
    assert after == {name: before[name] for name in before if name not in {"counts", "run_key"}}
    erased(table, "a")
    assert (Table(table).lineage() or {})["erased"]["rows"] == 2


def test_a_log_that_tells_of_an_id_begins_anew(store):
    place = built(f"{store}/table", audit=EXAMPLES)
    planned = plan_erasure(Request(place, (NAME,)))
    assert planned.cuts_log
    assert (erase(planned), planned.lost) == (3, (0, 1, 2))
    prove(planned)
    assert holders(place) == []
    assert ids_of(place) == ["a", "b", "x", "y"]
    with pytest.raises(TableError, match="version 0 can no longer be read: the log begins at ver"):
        Table(place).files(0)
    commit(place, [shard(place, "r9", "u", [row("n")])])
    assert Table(place).rollback(3) == 5
    assert ids_of(place) == ["a", "b", "x", "y"]


def test_examples_of_the_newest_commit_lose_the_id_and_keep_the_others(tmp_path):
    place = str(tmp_path)
    commit(place, [shard(place, "r0", "u0", [row("a"), row(NAME)])], audit=EXAMPLES)
    erased(place, NAME)
    assert (Table(place).lineage() or {})["audit"] == {
        "kept_examples": [{"query_id": "a", "score": 1}]
    }
    assert holders(place) == []


def test_words_of_a_recipe_are_no_ids(tmp_path):
    place = str(tmp_path)
    words = {"readable": {"pooling": "mean"}, "phase": "mean", "config": {"steps": ["mean"]}}
    commit(place, [shard(place, "r0", "u0", [row("a"), row("mean")])], **words)
    assert not plan_erasure(Request(place, ("mean",))).cuts_log
    erased(place, "mean")
    assert words.items() <= (Table(place).lineage() or {}).items()


def test_statistics_and_predicates_of_other_writers_go_with_the_log(tmp_path):
    from deltalake import DeltaTable, write_deltalake

    told, deleted = str(tmp_path / "stats"), str(tmp_path / "predicate")
    write_deltalake(told, pa.table({"id": ["a", NAME + "z" * 40], "text": ["x", "a secret"]}))
    assert "a secret" in files.read_bytes(f"{told}/_delta_log/{0:020d}.json").decode()
    erased(told, NAME + "z" * 40)
    assert holders(told) == holders(told, "secret") == []
    with pytest.raises(TableError, match="version 1 was not committed by corpusmill"):
        list(verify_table(told))
    write_deltalake(deleted, pa.table({"id": ["a", NAME]}))
    DeltaTable(deleted).delete(f"id = '{NAME}'")
    assert ids_of(deleted) == ["a"]
    erased(deleted, NAME)
    assert holders(deleted) == []
    assert ids_of(deleted) == ["a"]


def test_tables_that_only_their_writer_can_rewrite_are_left_alone(tmp_path):
    from deltalake import write_deltalake

    place = str(tmp_path)
    write_deltalake(place, pa.table({"id": [NAME], "day": ["x"]}), partition_by=["day"])
    before = everything(place)
    with pytest.raises(TableError, match=r"it has partitions \(day\); only tables of plain files"):
        plan_erasure(Request(place, (NAME,)))
    assert everything(place) == before


TRAINING: dict[str, list[Any]] = {
    "query_id": ["q1", "q2", "q3"],
    "positive_ids": [["a"], ["b", NAME], ["c"]],
    "negative_ids": [["x"], ["y"], ["z", PASSAGE]],
}


def test_rows_that_refer_to_an_id_go_whole(tmp_path):
    place = str(tmp_path)
    made = pa.table(TRAINING)
    Table(place).commit(-1, made.schema, [write_shard(place, "r", "u", made, {})], {}, "k")
    erased(place, NAME)
    assert [part["query_id"].to_pylist() for part in Table(place).read()] == [["q1"]]
    assert holders(place) == []


def test_parts_of_an_erased_parent_go_by_their_own_ids_too(tmp_path):
    place = str(tmp_path)
    parts = pa.table({"id": ["p1", "p2"], "parent_id": [NAME, "other"]})
    Table(place).commit(-1, parts.schema, [write_shard(place, "r", "u", parts, {})], {}, "k")
    stray = pa.table({"id": ["p1", "p2"], "error": ["text is null"] * 2})
    write_rows(f"{place}/_quarantine/r/u.parquet", stray)
    planned = plan_erasure(Request(place, (NAME,)))
    assert planned.wanted.ids.to_pylist() == [NAME, "p1"]
    erase(planned)
    prove(planned)
    assert ids_of(place) == ["p2"]
    assert holders(place, "p1") == []


def test_an_id_in_a_column_that_is_not_for_ids_is_refused_until_the_user_says_what_it_is(tmp_path):
    place = str(tmp_path)
    rows = [row("a"), row("b", NAME), row(NAME, NAME)]
    commit(place, [shard(place, "r0", "u0", rows)])
    before = everything(place)
    with pytest.raises(TableError, match="column tags holds an erased id in 1 row that would stay"):
        plan_erasure(Request(place, (NAME,)))
    assert everything(place) == before
    erased(place, NAME, ignored=frozenset({"tags"}))
    assert ids_of(place) == ["a", "b"]
    erased(place, NAME, also=frozenset({"tags"}))
    assert ids_of(place) == ["a"]
    assert holders(place) == []


def test_a_table_may_lose_all_its_rows(tmp_path):
    place = str(tmp_path)
    commit(place, [shard(place, "r0", "u0", [row(NAME)])])
    assert erased(place, NAME) == 1
    assert Table(place).files() == []
    assert Table(place).schema().equals(schema())
    shard(place, "r1", "u0", [row(NAME)])  # staged, never committed
    assert erased(place, NAME) == 2
    assert holders(place) == []


def test_what_is_nowhere_takes_no_version(table):
    before = everything(table)
    planned = plan_erasure(Request(table, ("nobody",)))
    assert planned.nothing
    assert (planned.unknown, prove(planned).others) == (1, 3)
    assert everything(table) == before
    with pytest.raises(ConfigError, match="no id to erase"):
        plan_erasure(Request(table, ()))


def test_a_file_that_cannot_be_searched_stops_it_before_anything_is_touched(tmp_path):
    place = built(str(tmp_path))
    lost = next(tmp_path.glob("data/r3/*"))
    lost.write_bytes(b"no Parquet")
    before = sorted(path for path in tmp_path.rglob("*"))
    with pytest.raises(TableError, match="not a readable Parquet file"):
        plan_erasure(Request(place, (NAME,)))
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_a_run_that_staged_an_erased_row_cannot_commit_it(table):
    parent = Table(table).version()
    late = shard(table, "r4", "u9", [row(NAME)])
    erased(table, NAME)
    with pytest.raises(ConflictError) as caught:
        Table(table).commit(parent, schema(), [late], {}, "r4")
    assert caught.value.exit_code == 5
    shard(table, "r4", "u9", [row(NAME)])  # a worker that has not heard of it
    with pytest.raises(ConflictError):
        Table(table).commit(parent, schema(), [late], {}, "r4")
    assert NAME not in ids_of(table)


def test_what_a_run_writes_meanwhile_is_found_by_the_proof(table):
    planned = plan_erasure(Request(table, (NAME,)))
    erase(planned)
    late = shard(table, "r4", "u9", [row(NAME)])
    with pytest.raises(TableError, match=f"{late.path} holds an erased id in column id; if a run"):
        prove(planned)
    erased(table, NAME)
    assert holders(table) == []


def test_a_commit_that_comes_first_is_a_conflict_and_nothing_is_deleted(table):
    planned = plan_erasure(Request(table, (NAME,)))
    commit(table, [shard(table, "r5", "u", [row("n")])])
    before = set(everything(table))
    with pytest.raises(ConflictError):
        erase(planned)
    assert set(everything(table)) >= before


def test_columns_of_codes_stay_decodable(tmp_path):
    place = str(tmp_path)
    coded = pa.schema([columns.ID, columns.codes(2, "int8", "abc")])
    rows = pa.table({"id": ["a", NAME], "codes": [[1, 2], [3, 4]]}).cast(coded)
    Table(place).commit(-1, coded, [write_shard(place, "r", "u", rows, {"k": "v"})], {}, "k")
    erased(place, NAME)
    with opened(Table(place).files()[0].uri) as file:
        assert file.schema_arrow.field("codes").metadata == coded.field("codes").metadata
        assert (file.metadata.metadata or {})[b"k"] == b"v"
    assert Path(Table(place).files()[0].uri).name.startswith("u-")
