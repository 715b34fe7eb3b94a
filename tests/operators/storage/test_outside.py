"""No path from a log, a receipt, a row or an id leads out of the folder it belongs to."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.errors import ConfigError, SourceError, TableError
from operators.storage import uri as store
from operators.storage.parquet import write_shard
from operators.storage.receipts import Receipt, RunFolder
from operators.storage.table import Table
from operators.storage.vacuum import vacuum
from operators.text.places import located, relative
from operators.text.source import Source

RECEIPT = Receipt("u", (), "", 1, 1, 0, 0, {}, 0.0, 0.0, 0, {})
OUTSIDE = ["../x.parquet", "data/../../x.parquet", "/etc/x.parquet", "s3://other/x.parquet", ".."]
ENCODED = [*OUTSIDE, "%2E%2e/x.parquet"]
SCHEMA = pa.schema([pa.field("id", pa.string())])
PIECES = st.text(st.sampled_from("./\\~%:ab é\0\n*?[]"), max_size=12) | st.text(max_size=8)


@given(st.lists(PIECES, max_size=3))
def test_whatever_is_joined_to_a_folder_ends_below_it(parts):
    base = "/lake/table"
    try:
        found = os.path.normpath(store.join(base, *parts))
    except SourceError:
        return
    assert found == base or found.startswith(base + "/")


@given(PIECES)
def test_what_does_not_lead_out_ends_below_its_folder(path):
    if not store.leads_out(path):
        assert f"{os.path.normpath(f'/lake/table/{path}')}/".startswith("/lake/table/")


def test_names_with_dots_are_names():
    assert store.join("s3://lake", "a..b", "...", "x.") == "s3://lake/a..b/.../x."


@pytest.fixture
def table(tmp_path: Path) -> str:
    """A table of one file, and a file beside it that nobody may touch."""
    uri = str(tmp_path / "table")
    (tmp_path / "x.parquet").write_bytes(b"precious")
    shard = write_shard(uri, "r", "u", pa.table({"id": ["a"]}, schema=SCHEMA), {})
    Table(uri).commit(-1, SCHEMA, [shard], {}, "r")
    return uri


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_receipt_that_names_a_file_outside_is_none(table, path):
    folder = RunFolder(table, "r2")
    shards = [{"path": path, "rows": 1, "size": 8, "checksum": ""}]
    for change in ({"shards": shards}, {"quarantine": path}):
        forged = json.loads(RECEIPT.to_json()) | change
        store.write_bytes(folder.path("receipts", "u.json"), json.dumps(forged).encode())
        with pytest.raises(TableError, match="not under the table"):
            folder.receipts()


@pytest.mark.parametrize("path", ENCODED)
def test_a_log_that_names_a_file_outside_is_refused(table, path):
    forge(table, {"add": added(path)})
    with pytest.raises(TableError, match="names a file that is not under it"):
        Table(table).files()


def test_a_log_that_removed_a_file_outside_does_not_make_vacuum_delete_it(table):
    removed = {"path": "../x.parquet", "deletionTimestamp": 0, "dataChange": True}
    forge(table, {"remove": removed})
    with pytest.raises(TableError, match="leads out of it"):
        vacuum(table, retention_hours=0, dry_run=False)
    assert Path(table).parent.joinpath("x.parquet").read_bytes() == b"precious"


def test_rows_say_where_they_came_from_only_below_their_source():
    source = Source(uri="s3a://lake/docs")
    assert located(source, "2026/a.jsonl") == "s3a://lake/docs/2026/a.jsonl"
    assert located(source, "s3://lake/docs/a.jsonl") == "s3://lake/docs/a.jsonl"
    for file in (
        "/etc/passwd",
        "../keys",
        "s3://lake/docs/../x",
        "s3://lake/docs2/a",
        "http://h/a",
    ):
        with pytest.raises(SourceError):
            located(source, file)


def test_what_a_listing_finds_is_located_again(tmp_path):
    source = Source(uri=str(tmp_path))
    assert located(source, relative(str(tmp_path), f"{tmp_path}/a/b")) == f"{tmp_path}/a/b"


def test_a_uri_with_a_password_is_refused_before_anything_is_opened():
    with pytest.raises(ConfigError, match="credentials come from the environment") as caught:
        store.filesystem("s3://key:hunter2@lake/docs")
    assert "hunter2" not in str(caught.value)


def forge(table: str, action: dict[str, object]) -> None:
    """Another version, as whoever can write to the storage may write it."""
    info = {"commitInfo": {"timestamp": 0, "operation": "WRITE"}}
    log = Path(table, "_delta_log", f"{1:020d}.json")
    log.write_text("\n".join(json.dumps(each) for each in (info, action)))


def added(path: str) -> dict[str, object]:
    stats = json.dumps({"numRecords": 1})
    return {
        "path": path,
        "partitionValues": {},
        "size": 8,
        "modificationTime": 0,
        "dataChange": True,
        "stats": stats,
    }
