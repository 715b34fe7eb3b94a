import os
from dataclasses import replace

import pyarrow as pa
import pytest

from operators.errors import ContractError, SourceError
from operators.storage import uri as storage
from operators.storage.table import Table
from operators.text.source import Source
from pipelines.listing import list_source
from tests import corpora

ROWS: list[corpora.Row] = [("a", "x"), ("b", "y")]


def test_a_listing_counts_what_footers_tell_and_fills_in_the_defaults(store) -> None:
    data = corpora.encode("parquet", ROWS)
    storage.write_bytes(f"{store}/a.parquet", data)
    storage.write_bytes(f"{store}/b.parquet", data)
    listing = list_source(Source(uri=store))
    assert (listing.rows, listing.size) == (4, 2 * len(data))
    assert listing.source == replace(Source(uri=store), format="parquet", id="id", text=("text",))
    assert listing.schema.names == ["id", "text", "content_hash", "source_file", "source_row"]


def test_the_snapshot_changes_with_the_files_and_not_with_their_place(tmp_path) -> None:
    for place in ("one", "two"):
        path = corpora.put(str(tmp_path / place), a__jsonl=corpora.encode("jsonl", ROWS))
        os.utime(f"{path}/a.jsonl", (5, 5))
    one, two = (list_source(Source(uri=str(tmp_path / place))) for place in ("one", "two"))
    assert one.snapshot == two.snapshot
    os.utime(tmp_path / "two" / "a.jsonl", (6, 6))
    touched = list_source(Source(uri=str(tmp_path / "two"))).snapshot
    corpora.put(str(tmp_path / "one"), b__jsonl=corpora.encode("jsonl", ROWS))
    grown = list_source(Source(uri=str(tmp_path / "one"))).snapshot
    assert len({one.snapshot, touched, grown}) == 3


@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv"])
def test_a_column_that_is_nowhere_is_missed_before_a_run(tmp_path, form) -> None:
    corpora.put(str(tmp_path), **{f"a__{form}": corpora.encode(form, ROWS)})
    for fields in ({"text": "body"}, {"id": "body"}, {"keep": ("body",)}):
        with pytest.raises(ContractError, match=r"needs column 'body' .*only id, text"):
            list_source(Source(uri=str(tmp_path), **fields))


def test_parquet_files_that_differ_are_named(tmp_path) -> None:
    first = pa.table({"id": ["a"], "text": ["x"], "year": [1]})
    corpora.put(str(tmp_path), a__parquet=corpora.parquet(first))
    source = Source(uri=str(tmp_path), keep=("year",))
    other = first.set_column(2, "year", pa.array(["1"]))
    corpora.put(str(tmp_path), b__parquet=corpora.parquet(other))
    with pytest.raises(ContractError, match=r"int64 as in the first file.*string in .*b\.parquet"):
        list_source(source)
    corpora.put(str(tmp_path), b__parquet=corpora.parquet(first.drop_columns(["year"])))
    with pytest.raises(ContractError, match=r"only id, text in .*b\.parquet"):
        list_source(source)
    assert list_source(Source(uri=str(tmp_path))).rows == 2


@pytest.mark.parametrize("form", corpora.FORMATS)
def test_a_source_without_rows_is_one_sentence(tmp_path, form) -> None:
    corpora.put(str(tmp_path), **{f"a__{form}": corpora.encode(form, [])})
    with pytest.raises(SourceError, match="it holds no rows"):
        list_source(Source(uri=str(tmp_path)))


def test_a_delta_table_without_a_file_is_one_sentence(store) -> None:
    Table(store).commit(-1, pa.schema([("id", pa.string()), ("text", pa.string())]), [], {}, "key")
    with pytest.raises(SourceError, match="it holds no rows"):
        list_source(Source(uri=store))


def test_a_corrupt_parquet_file_is_named(store) -> None:
    data = corpora.encode("parquet", ROWS)
    storage.write_bytes(f"{store}/a.parquet", data[:-20])
    with pytest.raises(SourceError, match=r"a\.parquet: not a Parquet file, or cut short"):
        list_source(Source(uri=store))


@pytest.mark.parametrize("form", ["parquet", "csv.gz", "jsonl.gz"])
def test_a_damaged_file_among_others_does_not_hide_them(tmp_path, form) -> None:
    data = corpora.encode(form, ROWS)
    name = form.replace(".", "__")
    corpora.put(str(tmp_path), **{f"a__{name}": data[:-9], f"b__{name}": data})
    listing = list_source(Source(uri=str(tmp_path)))
    assert listing.file_schema.names == ["id", "text"]
    assert listing.rows == (2 if form == "parquet" else -1)


@pytest.mark.parametrize("form", ["csv.gz", "jsonl.gz"])
def test_a_damaged_file_alone_is_one_sentence(tmp_path, form) -> None:
    damaged = corpora.encode(form, ROWS)[:-9]
    corpora.put(str(tmp_path), **{f"a__{form.replace('.', '__')}": damaged})
    with pytest.raises(SourceError, match="the file is damaged"):
        list_source(Source(uri=str(tmp_path)))


def test_json_that_is_not_lines_is_explained(tmp_path) -> None:
    corpora.put(str(tmp_path), a__json=b'[\n{"id": "a", "text": "x"},\n]\n'[:2])
    with pytest.raises(SourceError, match="none of its first 1000 lines is a JSON object"):
        list_source(Source(uri=str(tmp_path)))
