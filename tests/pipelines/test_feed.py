"""Replaying the feeds of every version from nothing gives the newest version."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import columns
from operators.errors import ConfigError, TableError
from operators.storage import uri as files
from operators.storage.parquet import opened, write_shard
from operators.storage.table import Table
from operators.storage.vacuum import vacuum
from pipelines import feed as module
from pipelines.feed import EMPTY, LOCATORS, Feed, feed
from tests.versions import Row, commit, row, shard

Held = dict[str, Mapping[str, Any]]
"""Rows by id, as a vector database that follows a table holds them."""


def plain(rows: pa.Table) -> list[dict[str, Any]]:
    """Rows without what says where they came from, as Python values."""
    return rows.drop_columns([name for name in LOCATORS if name in rows.column_names]).to_pylist()


def content(table: str, version: int) -> Held:
    return {each["id"]: each for part in Table(table).read(version=version) for each in plain(part)}


def parts(out: str, kind: str) -> Iterator[pa.Table]:
    manifest = json.loads(files.read_bytes(files.join(out, "manifest.json")))
    for path in manifest[kind]:
        with opened(files.join(out, path)) as file:
            yield file.read()


def replay(held: Held, out: str, schema: pa.Schema) -> Held:
    """What a follower does with a feed: delete, then write over."""
    held = dict(held)
    for part in parts(out, "deletes"):
        assert part.schema.names == ["id"]
        for name in part["id"].to_pylist():
            del held[name]
    for part in parts(out, "upserts"):
        expected = [each for each in schema.names if each not in LOCATORS]
        assert part.schema.names == [*expected, "change"]
        for each in part.to_pylist():
            assert (each.pop("change") == "changed") == (each["id"] in held)
            held[each["id"]] = each
    return held


IDS = st.sampled_from("abcdefgh")
TEXTS = st.sampled_from(["", "x", "yy"])
EDIT = st.tuples(st.sampled_from(["put", "drop"]), IDS, TEXTS)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), st.lists(EDIT, min_size=1, max_size=4)),
        st.tuples(st.just("replace"), st.dictionaries(IDS, TEXTS), st.integers(1, 3)),
        st.tuples(st.just("rollback"), st.integers(0, 9)),
    ),
    min_size=1,
    max_size=5,
)


class History:
    """A table whose files are rewritten copy-on-write by random edits."""

    def __init__(self, place: str) -> None:
        self.place, self.dim, self.place_of_row = place, 2, 0
        self.files: list[dict[str, Row]] = []
        self.versions: list[tuple[list[dict[str, Row]], int]] = []

    def made(self, name: str, text: str) -> Row:
        self.place_of_row += 1  # a row that is written again has another place
        return row(name, text, self.dim, self.place_of_row)

    def edit(self, edits: Sequence[tuple[str, str, str]]) -> None:
        files = [dict(rows) for rows in self.files]
        for kind, name, text in edits:
            for rows in files:
                rows.pop(name, None)
            if kind == "put":
                files.append({name: self.made(name, text)})
        self.commit([rows for rows in files if rows])

    def replace(self, rows: Mapping[str, str], dim: int) -> None:
        self.dim = dim
        self.commit([{name: self.made(name, text) for name, text in rows.items()}] if rows else [])

    def commit(self, now: list[dict[str, Row]]) -> None:
        shards = [
            shard(self.place, "r", f"u{n}", [*rows.values()], self.dim)
            for n, rows in enumerate(now)
        ]
        commit(self.place, shards, self.dim)
        self.files = now
        self.versions.append((now, self.dim))

    def rollback(self, number: int) -> None:
        version = number % len(self.versions)
        if version != len(self.versions) - 1:
            Table(self.place).rollback(version)
            self.files, self.dim = self.versions[version]
            self.versions.append(self.versions[version])


@settings(max_examples=25, deadline=None)
@given(STEPS, st.sampled_from([1, 3, 1_000_000]))
def test_replaying_every_feed_from_nothing_gives_the_newest_version(steps, bucket_rows):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROWS_A_BUCKET", bucket_rows)
        history = History(f"{folder}/table")
        history.replace({"a": "", "b": "x"}, 2)
        for kind, *rest in steps:
            getattr(history, kind)(*rest)
        newest = len(history.versions) - 1
        assert Table(history.place).version() == newest
        held: Held = {}
        for version in range(newest + 1):
            schema = Table(history.place).schema(version)
            found = feed(history.place, version - 1, version, f"{folder}/{version}")
            before = held
            held = replay(held, f"{folder}/{version}", schema)
            assert held == content(history.place, version)
            assert (found.added, found.deleted) == (
                len(held.keys() - before.keys()),
                len(before.keys() - held.keys()),
            )
        feed(history.place, EMPTY, newest, f"{folder}/whole")
        assert replay({}, f"{folder}/whole", schema) == held
        if newest > 1:
            back = feed(history.place, newest, 0, f"{folder}/back")
            assert back.table == history.place
            schema = Table(history.place).schema(0)
            assert replay(held, f"{folder}/back", schema) == content(history.place, 0)


@pytest.fixture
def table(store: str) -> str:
    """Version 0 holds a, b and c; version 1 a (another place), b changed, and d."""
    place = f"{store}/table"
    kept = shard(place, "r1", "u0", [row("z")])
    commit(place, [kept, shard(place, "r1", "u1", [row("a"), row("b"), row("c")])])
    new = [row("a", place=7), row("b", "new"), row("d")]
    commit(place, [kept, shard(place, "r2", "u1", new)])
    return place


def test_a_feed_counts_and_names_ids_and_reads_only_what_differs(table):
    files.write_bytes(Table(table).files(1)[0].uri, b"not read")  # z's, in both versions
    first = {"added": ("d",), "changed": ("b",), "deleted": ("c",)}
    assert feed(table, 0, 1) == Feed(table, 0, 1, 1, 1, 1, 2, first)
    assert feed(table, 1, 0).first == {"added": ("c",), "changed": ("b",), "deleted": ("d",)}


def test_a_written_feed_is_complete_by_itself(table, store):
    out = f"{store}/feed"
    feed(table, EMPTY, 1, out)
    manifest = json.loads(files.read_bytes(f"{out}/manifest.json"))
    assert manifest["upserts"] == ["upserts/part-00000.parquet"]
    assert (manifest["before"], manifest["after"], manifest["added"]) == (-1, 1, 4)
    assert (manifest["changed"], manifest["deleted"], manifest["deletes"]) == (0, 0, [])
    assert manifest["recipe"] == "recipe"
    assert {"name": "embedding", "type": "list<element: float>"} | {
        "metadata": {"corpusmill.dim": "2"}
    } in [each | {"type": each["type"].replace("item", "element")} for each in manifest["schema"]]
    (part,) = parts(out, "upserts")
    assert columns.dim_of(part.schema.field("embedding")) == 2
    with pytest.raises(ConfigError, match="feed: it is not empty; name a new folder"):
        feed(table, 0, 1, out)


def test_what_decodes_codes_goes_with_the_feed_or_there_is_none(store):
    place, out = f"{store}/table", f"{store}/feed"
    schema = pa.schema([columns.ID, columns.codes(2, "int8", "abc")])
    rows = pa.Table.from_pylist([{"id": "a", "codes": [1, 2]}], schema=schema)
    Table(place).commit(-1, schema, [write_shard(place, "r", "u", rows, {})], {}, "k")
    with pytest.raises(TableError, match="the artefact abc that decodes its codes is gone"):
        feed(place, EMPTY, 0, out)
    assert files.list_ages(out, deep=True) == []
    files.write_bytes(f"{place}/_corpusmill/artefacts/abc.safetensors", b"learned")
    feed(place, EMPTY, 0, out)
    artefacts = json.loads(files.read_bytes(f"{out}/manifest.json"))["artefacts"]
    assert files.read_bytes(f"{out}/{artefacts['abc']}") == b"learned"
    refitted = pa.schema([columns.ID, columns.codes(2, "int8", "def")])
    again = [write_shard(place, "r2", "u", rows.cast(refitted), {})]
    Table(place).commit(0, refitted, again, {}, "k2")
    assert feed(place, 0, 1).changed == 1


def test_large_feeds_come_in_parts(table, store, monkeypatch):
    monkeypatch.setattr("pipelines.feed_files.PART_BYTES", 1)
    feed(table, EMPTY, 1, f"{store}/feed")
    found = [part["id"].to_pylist() for part in parts(f"{store}/feed", "upserts")]
    assert sorted(found) == [["a", "b", "d"], ["z"]]


def test_versions_that_cannot_be_compared_are_refused(table):
    with pytest.raises(ConfigError, match="version 1 against itself"):
        feed(table, 1, 1)
    with pytest.raises(TableError, match="there is no version 7; the newest is 1"):
        feed(table, 0, 7)


def test_a_version_whose_files_are_gone_has_no_feed(tmp_path):
    place = str(tmp_path)
    commit(place, [shard(place, "r1", "u1", [row("a")])])
    commit(place, [shard(place, "r2", "u1", [row("b")])])
    vacuum(place, retention_hours=0, dry_run=False)
    with pytest.raises(
        TableError, match=r"version 0 can no longer be read: .* deleted 1 of .* from `empty`"
    ):
        feed(place, 0, 1)
    assert feed(place, EMPTY, 1).added == 1


@pytest.mark.parametrize(
    ("rows", "phrase"),
    [
        ({"id": ["a", "a"]}, "version 0 holds an id twice"),
        ({"id": ["a", None]}, "version 0 has a row without id"),
        ({"name": ["a"]}, "version 0 has no column id"),
        ({"id": ["a"], "change": ["b"]}, "version 0 has a column of the name change"),
    ],
)
def test_a_table_without_usable_ids_has_no_feed(tmp_path, rows, phrase):
    place = str(tmp_path)
    made = pa.table(rows)
    Table(place).commit(-1, made.schema, [write_shard(place, "r", "u", made, {})], {}, "k")
    with pytest.raises(TableError, match=phrase):
        feed(place, EMPTY, 0)


def test_a_table_of_another_layout_has_no_feed(tmp_path):
    from deltalake import write_deltalake

    place = str(tmp_path)
    write_deltalake(place, pa.table({"id": ["a"], "day": ["x"]}), partition_by=["day"])
    with pytest.raises(TableError, match=r"it has partitions \(day\); only tables of plain files"):
        feed(place, EMPTY, 0)


def test_a_file_of_another_writer_that_lacks_a_column_has_nulls_there(tmp_path):
    from deltalake import write_deltalake

    place = str(tmp_path)
    write_deltalake(place, pa.table({"id": ["a", "b"]}))
    both = pa.table({"id": ["c"], "n": [1]})
    write_deltalake(place, both, mode="append", schema_mode="merge")
    assert (feed(place, 0, 1).added, feed(place, 0, 1).changed) == (1, 2)
    out = str(tmp_path / "feed")
    feed(place, 0, 1, out)
    rows = pa.concat_tables(parts(out, "upserts")).sort_by("id")
    assert rows["n"].to_pylist() == [None, None, 1]
    assert pq.read_schema(f"{out}/upserts/part-00000.parquet").names == ["id", "n", "change"]
