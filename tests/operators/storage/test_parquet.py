from pathlib import Path

import duckdb
import numpy as np
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operators import columns
from operators.errors import ContractError, TableError
from operators.storage import uri
from operators.storage.parquet import (
    checksum_of,
    has_its_content,
    read_shard,
    shard_metadata,
    write_grouped,
    write_rows,
    write_shard,
)

SCHEMA = pa.schema([columns.ID, columns.embedding(2), columns.CONTENT_HASH])
TABLE = pa.table(
    {
        "id": ["a", "b", "c"],
        "embedding": [[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]],
        "content_hash": [b"1", b"2", b"3"],
    },
    schema=SCHEMA,
)
NOTES = {"fingerprint": "f1", "unit": "u1", "run": "r1"}


def test_a_shard_comes_back_as_it_was_written_with_its_notes(store: str) -> None:
    shard = write_shard(store, "r1", "u1", TABLE, NOTES)
    back = read_shard(store, shard.path)
    assert back.replace_schema_metadata().equals(TABLE)
    assert back.schema.field("embedding").metadata == {b"corpusmill.dim": b"2"}
    assert shard_metadata(uri.join(store, shard.path)) == NOTES
    assert shard.path.startswith("data/r1/u1-")
    assert (shard.rows, shard.size) == (3, uri.size_of(uri.join(store, shard.path)))
    assert checksum_of(uri.join(store, shard.path)) == shard.checksum


def test_the_same_rows_give_the_same_name_and_bytes_however_they_are_chunked(store: str) -> None:
    first = write_shard(store, "r1", "u1", TABLE, NOTES)
    padded = pa.concat_tables([TABLE.slice(2), TABLE, TABLE.slice(1)])
    chunked = pa.concat_tables([padded.slice(1, 1), padded.slice(2, 2)])
    assert write_shard(store, "r1", "u1", chunked, NOTES) == first


def test_other_rows_notes_or_field_notes_give_another_name(store: str) -> None:
    tables = [TABLE, TABLE.slice(1), TABLE.take([1, 0, 2])]
    refitted = SCHEMA.set(1, SCHEMA.field(1).with_metadata({"corpusmill.artefact": "x"}))
    tables.append(TABLE.cast(refitted))
    shards = [write_shard(store, "r1", "u1", table, NOTES) for table in tables]
    shards.append(write_shard(store, "r1", "u1", TABLE, {**NOTES, "fingerprint": "f2"}))
    assert len({shard.path for shard in shards}) == 5


def test_only_the_named_columns_are_read_in_the_order_named(store: str) -> None:
    shard = write_shard(store, "r1", "u1", TABLE, NOTES)
    assert read_shard(store, shard.path, ["embedding", "id"]).column_names == ["embedding", "id"]
    with pytest.raises(TableError, match="has no column codes, only id, embedding"):
        read_shard(store, shard.path, ["id", "codes"])


def test_a_shard_of_no_rows_keeps_its_schema(store: str) -> None:
    shard = write_shard(store, "r1", "u1", TABLE.slice(3), NOTES)
    assert read_shard(store, shard.path).schema.equals(SCHEMA)


def test_a_missing_or_corrupt_shard_is_one_sentence(store: str) -> None:
    shard = write_shard(store, "r1", "u1", TABLE, NOTES)
    place = uri.join(store, shard.path)
    with pytest.raises(TableError, match=r"data/r1/none\.parquet: not found"):
        read_shard(store, "data/r1/none.parquet")
    uri.write_bytes(place, uri.read_bytes(place)[:-40])
    with pytest.raises(TableError, match="not a readable Parquet file"):
        read_shard(store, shard.path)
    uri.write_bytes(place, b"")
    with pytest.raises(TableError, match="not a readable Parquet file"):
        read_shard(store, shard.path)


def test_a_flipped_value_no_longer_has_the_content_its_name_says(store: str) -> None:
    shard = write_shard(store, "r1", "u1", TABLE, NOTES)
    assert has_its_content(store, shard.path)
    other = write_shard(store, "r1", "u1", TABLE.take([0, 2, 1]), NOTES)
    uri.write_bytes(uri.join(store, shard.path), uri.read_bytes(uri.join(store, other.path)))
    assert not has_its_content(store, shard.path)


def test_nothing_is_left_when_the_rows_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"column 'x' as a type that Delta has.*uint8"):
        write_shard(str(tmp_path), "r1", "u1", pa.table({"x": pa.array([1], pa.uint8())}), {})
    assert list(tmp_path.rglob("*")) == []


def test_floats_are_byte_split_and_groups_are_even_and_bounded(tmp_path: Path) -> None:
    rows, dim = 50_000, 512
    vectors = np.random.default_rng(0).random((rows, dim), np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), dim)
    ids = pa.array(np.arange(rows)).cast(pa.string())
    shard = write_shard(str(tmp_path), "r1", "u1", pa.table({"id": ids, "embedding": column}), {})
    file = pq.ParquetFile(tmp_path / shard.path)
    groups = [file.metadata.row_group(n) for n in range(file.num_row_groups)]
    assert [group.num_rows for group in groups] == [25_000, 25_000]
    assert all(group.total_byte_size <= 1.05 * (64 << 20) for group in groups)
    assert "BYTE_STREAM_SPLIT" in groups[0].column(1).encodings
    assert not groups[0].column(1).has_dictionary_page
    assert groups[0].column(0).has_dictionary_page
    assert file.schema_arrow.field("embedding").type == pa.list_(pa.float32())


def test_other_engines_read_the_shard_alike(tmp_path: Path) -> None:
    shard = write_shard(str(tmp_path), "r1", "u1", TABLE, NOTES)
    path = str(tmp_path / shard.path)
    expected = TABLE["embedding"].to_pylist()
    with duckdb.connect() as connection:
        rows = connection.execute("select embedding from read_parquet(?)", [path]).fetchall()
    assert np.allclose([row[0] for row in rows], expected)
    assert np.allclose(polars.read_parquet(path)["embedding"].to_list(), expected)


def test_a_side_file_replaces_the_one_before(store: str) -> None:
    place = uri.join(store, "_quarantine/r1/u1.parquet")
    write_rows(place, TABLE)
    size = write_rows(place, TABLE.slice(1))
    assert uri.size_of(place) == size
    assert len(read_shard(store, "_quarantine/r1/u1.parquet")) == 2


def test_each_table_becomes_a_row_group_even_without_rows(tmp_path: Path) -> None:
    place = tmp_path / "groups.parquet"
    write_grouped(str(place), [TABLE.slice(3), TABLE, TABLE.slice(3), TABLE.slice(1)], {"k": "v"})
    file = pq.ParquetFile(place)
    assert [file.metadata.row_group(n).num_rows for n in range(4)] == [0, 3, 0, 2]
    assert file.read_row_group(3)["id"].to_pylist() == ["b", "c"]
    assert not file.metadata.row_group(1).column(0).is_stats_set
