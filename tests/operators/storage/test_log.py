import pyarrow as pa
import pytest

from operators import columns
from operators.errors import TableError
from operators.storage import log
from operators.storage.parquet import write_shard
from operators.storage.table import Table

SCHEMA = pa.schema([columns.ID])


def test_an_entry_says_who_wrote_it_and_what_it_added(store: str) -> None:
    shard = write_shard(store, "r1", "u", pa.table({"id": ["a"]}, schema=SCHEMA), {})
    Table(store).commit(-1, SCHEMA, [shard], {"n": 1}, "key")
    record = {"lineage": {"n": 1, "run_key": "key"}}
    added = {shard.path: shard.size}
    expected = log.Entry(0, "CREATE TABLE", None, record, added, changes=True)
    assert log.read_entry(store, 0) == expected
    assert log.read_entry(store, 1) is None


def test_an_entry_of_a_rollback_names_the_version_it_brought_back(store: str) -> None:
    for version in range(2):
        Table(store).commit(version - 1, SCHEMA, [], {}, f"key{version}")
    Table(store).rollback(0)
    entry = log.read_entry(store, 2)
    assert entry is not None
    assert (entry.operation, entry.restored) == ("RESTORE", 0)


def test_a_store_that_cannot_be_reached_or_refuses_is_no_empty_table(
    s3, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = s3()
    Table(place).commit(-1, SCHEMA, [], {}, "key")
    secret = "wrong-and-never-to-be-shown"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    with pytest.raises(TableError) as caught:
        log.newest_version(place)
    assert secret not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_bucket_is_one_clear_sentence(s3) -> None:
    with pytest.raises(TableError) as caught:
        log.newest_version("s3://no-such-bucket/t")
    told = "NoSuchBucket: The specified bucket does not exist"
    assert str(caught.value) == f"table s3://no-such-bucket/t: {told}"


def test_a_table_with_times_is_plain_and_one_with_deletion_vectors_is_not(tmp_path) -> None:
    place = str(tmp_path)
    times = pa.table({"id": ["a"], "at": pa.array([1], pa.timestamp("us"))})
    Table(place).commit(-1, times.schema, [write_shard(place, "r", "u", times, {})], {}, "k")
    assert log.handle(place).protocol().reader_features == ["timestampNtz"]
    log.check_plain(place)
    entry = tmp_path / "_delta_log" / f"{0:020d}.json"
    entry.write_text(
        entry.read_text().replace('"timestampNtz"', '"timestampNtz","deletionVectors"')
    )
    with pytest.raises(TableError, match="it has deletionVectors; only tables of plain files"):
        log.check_plain(place)
