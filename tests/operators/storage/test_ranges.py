import io
import os
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
import s3fs

from operators.arrays import to_column
from operators.errors import SourceError, TableError
from operators.storage import uri as storage
from operators.storage.keys import duplicates_in_bucket, keys_uri, write_keys
from operators.storage.parquet import (
    group_rows,
    picked,
    read_group,
    read_shard,
    shard_metadata,
    write_shard,
)
from operators.storage.ranges import Ranges
from operators.storage.receipts import RunFolder
from tests.chaos.proxy import Proxy, proxied

_FOOTER = 64 << 10
"""What Arrow asks for first of any Parquet file."""


@pytest.fixture
def proxy(s3, monkeypatch) -> Iterator[Proxy]:
    """The S3 server behind something that counts."""
    with proxied(os.environ["AWS_ENDPOINT_URL"]) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL", between.endpoint)
        s3fs.S3FileSystem.clear_instance_cache()
        yield between
    s3fs.S3FileSystem.clear_instance_cache()


def test_an_object_is_read_from_any_place_to_its_end(store) -> None:
    uri = f"{store}/a.bin"
    storage.write_bytes(uri, bytes(range(100)))
    with Ranges(uri) as stream:
        assert stream.seek(90) == 90
        assert stream.read(4) == bytes(range(90, 94))
        assert (stream.tell(), stream.read(50), stream.read(1)) == (94, bytes(range(94, 100)), b"")
        assert stream.seek(-3, io.SEEK_END) == 97
        assert stream.seek(-1, io.SEEK_CUR) == 96
        assert stream.read() == bytes(range(96, 100))
        assert (stream.seek(500), stream.read(1)) == (500, b"")
        stream.seek(0)
        buffer = bytearray(3)
        assert (stream.readinto(buffer), bytes(buffer)) == (3, bytes(range(3)))


def test_an_object_that_is_not_there_is_one_sentence(store) -> None:
    with pytest.raises(SourceError, match="not found"):
        Ranges(f"{store}/nothing")


@pytest.mark.s3
def test_on_s3_columns_groups_and_notes_of_a_shard_cost_their_own_bytes(s3, proxy) -> None:
    base, rows = s3(), 20_000
    vectors = np.random.default_rng(0).random((rows, 256), np.float32)
    numbers = pa.array(np.arange(rows))
    table = pa.table(
        {"id": numbers.cast(pa.string()), "embedding": to_column(vectors), "row": numbers}
    )
    shard = write_shard(base, "r1", "u1", table, {"k": "v"})
    asked = {
        "columns": lambda: read_shard(base, shard.path, ["row", "id"]).select(["id", "row"]),
        "group": lambda: read_group(base, shard.path, 0, ["id", "row"]),
        "rows": lambda: group_rows(base, shard.path),
        "notes": lambda: shard_metadata(storage.join(base, shard.path)),
    }
    told = {"rows": [rows], "notes": {"k": "v"}}
    for name, ask in asked.items():
        proxy.passed()
        assert ask() == told.get(name, table.select(["id", "row"])), name
        requests, size = proxy.passed()
        assert requests <= 4, (
            name
        )  # where it ends, the footer, and two columns with another between
        assert size < _FOOTER + (shard.size // 50 if name not in told else 0) + 1, name


@pytest.mark.s3
def test_on_s3_the_buckets_of_a_sidecar_cost_their_own_bytes(s3, proxy) -> None:
    folder, buckets = RunFolder(s3(), "r1"), 8
    ids = pa.array(np.arange(300_000)).cast(pa.string())
    write_keys(folder, "u", pa.table({"id": ids}), buckets)
    size = storage.size_of(keys_uri(folder, "u"))
    assert size is not None
    proxy.passed()
    for bucket in range(buckets):
        assert len(duplicates_in_bucket(folder, ["u"], bucket)) == 0
    requests, fetched = proxy.passed()
    assert requests == 3 * buckets
    assert fetched < size + buckets * _FOOTER


@pytest.mark.s3
def test_on_s3_a_range_that_the_store_refuses_is_one_sentence(s3, proxy) -> None:
    base = s3()
    ids = pa.array(np.arange(100_000)).cast(pa.string())
    shard = write_shard(base, "r1", "u1", pa.table({"id": ids}), {})
    with (
        pytest.raises(TableError, match=r"u1-.*\.parquet") as caught,
        picked(f"{base}/{shard.path}") as file,
    ):
        proxy.change({"expired": 1.0})
        file.read()
    assert "\n" not in str(caught.value)


@pytest.mark.s3
def test_on_s3_a_small_file_is_asked_for_once(s3, proxy) -> None:
    base = s3()
    rows = pa.table({"id": ["a"], "n": [1]})
    shard = write_shard(base, "r1", "u1", rows, {})
    proxy.passed()
    assert read_shard(base, shard.path, ["n", "id"]).select(["id", "n"]) == rows
    assert proxy.passed()[0] == 2  # where it ends, and its bytes
