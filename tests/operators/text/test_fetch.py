import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.errors import SourceError
from operators.storage import uri as storage
from operators.storage.parquet import write_shard
from operators.storage.table import Table
from operators.text.fetch import fetch
from operators.text.source import Source
from tests import corpora

ROWS: list[corpora.Row] = [(f"d{n}", f"text {n} é中 " * (n % 7 + 1)) for n in range(200)]


def read(source: Source) -> tuple[Source, pa.Table]:
    """The pinned source and all of its rows."""
    listing, _ = corpora.planned(source)
    return listing.source, corpora.read(source).combine_chunks()


def again(source: Source, table: pa.Table, places: list[int]) -> list[str]:
    """The texts of those rows of the table, fetched."""
    asked = table.take(pa.array(places, pa.int64()))
    return fetched(source, asked).to_pylist()


def fetched(source: Source, asked: pa.Table) -> pa.Array:
    names = ("source_file", "source_row", "content_hash")
    texts = fetch(source, *(asked[name].combine_chunks() for name in names))
    assert texts.type == pa.string()
    return texts


@pytest.mark.parametrize("form", corpora.FORMATS)
def test_rows_come_back_in_the_order_asked_from_every_store_and_format(store, form) -> None:
    for number in range(3):
        part = ROWS[number * 70 : number * 70 + 70]
        storage.write_bytes(f"{store}/in/{number}.{form}", corpora.encode(form, part, group=20))
    places = [150, 3, 150, 0, 199, 71, 72, 4]
    for uri in (f"{store}/in", f"{store}/in/*.{form}"):
        source, table = read(Source(uri=uri))
        assert again(source, table, places) == [ROWS[place][1] for place in places]
    source, table = read(Source(uri=f"{store}/in/1.{form}"))
    assert again(source, table, [5, 1]) == [ROWS[75][1], ROWS[71][1]]
    assert again(source, table, []) == []


@pytest.mark.parametrize("form", corpora.FORMATS)
@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.sampled_from([0, 10, 40_000, 70_000]), min_size=1, max_size=12),
    data=st.data(),
)
def test_near_and_far_rows_come_back_alike(form, sizes, data) -> None:
    rows: list[corpora.Row] = [(f"r{n}", f"{n} " + "x" * size) for n, size in enumerate(sizes)]
    places = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=20))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, f"a.{form}").write_bytes(corpora.encode(form, rows))
        source, table = read(Source(uri=folder))
        assert again(source, table, places) == [rows[place][1] for place in places]


def test_columns_join_and_normalise_as_they_were_embedded(tmp_path) -> None:
    table = pa.table(
        {"id": list("abc"), "title": ["T", "", None], "text": ["e\u0301", "x", "y"], "n": [1, 2, 3]}
    )
    corpora.put(str(tmp_path), a__parquet=corpora.parquet(table))
    names = ("title", "text")
    source = Source(uri=str(tmp_path), text=names, separator=" | ", normalize="NFC", keep=("n",))
    source, rows = read(source)
    assert again(source, rows, [0, 1, 2]) == ["T | é", "x", "y"]


def test_a_sampled_source_gives_every_row_that_was_read(tmp_path) -> None:
    corpora.put(str(tmp_path), a__jsonl=corpora.encode("jsonl", ROWS))
    source, table = read(Source(uri=str(tmp_path), sample=0.3, limit=100))
    assert again(source, table, [*range(len(table))]) == table["text"].to_pylist()


def test_csv_values_with_line_breaks_come_back_whole(tmp_path) -> None:
    rows: list[corpora.Row] = [("a", "one\ntwo"), ("b", "three\r\nfour"), ("c", "five")]
    corpora.put(str(tmp_path), a__csv=corpora.encode("csv", rows))
    source, table = read(Source(uri=str(tmp_path), newlines_in_values=True))
    assert again(source, table, [2, 1, 0]) == ["five", "three\r\nfour", "one\ntwo"]


def test_both_halves_of_a_beir_folder_come_back(tmp_path) -> None:
    corpus = b'{"_id": "d1", "title": "Cells", "text": "divide"}\n{"_id": "d2", "text": "grow"}\n'
    corpora.put(str(tmp_path), corpus__jsonl=corpus, queries__jsonl=b'{"_id":"q","text":"why"}\n')
    source, table = read(Source(uri=str(tmp_path)))
    assert again(source, table, [1, 0]) == ["grow", "Cells divide"]
    source, table = read(Source(uri=str(tmp_path), part="queries"))
    assert again(source, table, [0]) == ["why"]


def test_a_delta_table_is_read_at_the_version_that_was_pinned(store) -> None:
    table = corpora.rows_table(ROWS)
    old = [write_shard(store, "r1", f"u{n}", table.slice(n * 100, 100), {}) for n in range(2)]
    Table(store).commit(-1, table.schema, old, {}, "key0")
    source, rows = read(Source(uri=store))
    new = write_shard(store, "r2", "u0", corpora.rows_table([("z", "other")]), {})
    Table(store).commit(0, table.schema, [new], {}, "key1")
    assert (source.format, source.version) == ("delta", 0)
    assert again(source, rows, [0, 150]) == rows["text"].take(pa.array([0, 150])).to_pylist()


def test_a_folder_that_holds_a_file_of_its_own_name_is_still_a_folder(tmp_path) -> None:
    corpora.put(str(tmp_path / "a.jsonl"), a__jsonl=corpora.encode("jsonl", ROWS[:3]))
    source, table = read(Source(uri=str(tmp_path / "a.jsonl")))
    assert again(source, table, [2]) == [ROWS[2][1]]


@pytest.mark.parametrize("form", corpora.FORMATS)
def test_a_row_that_is_another_one_now_is_refused_by_file_and_row(tmp_path, form) -> None:
    path = tmp_path / f"a.{form}"
    path.write_bytes(corpora.encode(form, ROWS[:9]))
    source, table = read(Source(uri=str(tmp_path)))
    changed: list[corpora.Row] = [(name, str(text).replace("text", "TEXT")) for name, text in ROWS]
    path.write_bytes(corpora.encode(form, changed[:9]))
    row = table["source_row"][4]
    with pytest.raises(SourceError, match=rf"{path}: row {row} has changed since it was embedded"):
        again(source, table, [4, 5])


@pytest.mark.parametrize("form", corpora.FORMATS)
def test_a_row_or_file_that_is_gone_is_refused(tmp_path, form) -> None:
    path = tmp_path / f"a.{form}"
    path.write_bytes(corpora.encode(form, ROWS[:9]))
    source, table = read(Source(uri=str(tmp_path)))
    path.write_bytes(corpora.encode(form, ROWS[:2]))
    row = table["source_row"][7]
    with pytest.raises(SourceError, match=rf"{path}: row {row} is gone"):
        again(source, table, [0, 7])
    path.unlink()
    with pytest.raises(SourceError, match="not found"):
        again(source, table, [0])


def test_a_row_that_can_no_longer_be_read_counts_as_changed(tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(corpora.encode("jsonl", ROWS[:3]))
    source, table = read(Source(uri=str(tmp_path)))
    path.write_bytes(path.read_bytes().replace(b"}", b"]"))
    with pytest.raises(SourceError, match="row 0 has changed"):
        again(source, table, [0])


def test_a_source_that_no_plan_pinned_or_without_text_is_refused(tmp_path) -> None:
    corpora.put(str(tmp_path), a__jsonl=corpora.encode("jsonl", ROWS[:3]))
    source, table = read(Source(uri=str(tmp_path)))
    for other in (Source(uri=str(tmp_path)), replace(source, text=())):
        with pytest.raises(SourceError, match="are not pinned"):
            again(other, table, [0])


def test_a_text_column_that_is_gone_is_named(tmp_path) -> None:
    corpora.put(str(tmp_path), a__parquet=corpora.encode("parquet", ROWS[:3]))
    source, table = read(Source(uri=str(tmp_path)))
    pq.write_table(pa.table({"id": ["d0"]}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=r"a\.parquet: has no column text, only id"):
        again(source, table, [0])


@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv"])
def test_damage_far_from_the_rows_asked_for_is_never_read(tmp_path, form) -> None:
    words = np.random.default_rng(0).bytes(1_000_000).hex()
    rows: list[corpora.Row] = [(f"d{n}", words[n * 4000 : n * 4000 + 4000]) for n in range(500)]
    path = tmp_path / f"a.{form}"
    path.write_bytes(corpora.encode(form, rows, group=20))
    source, table = read(Source(uri=str(path)))
    data = bytearray(path.read_bytes())
    data[5000:500_000] = bytes(495_000)
    path.write_bytes(data)
    assert again(source, table, [400, 401, 499]) == [rows[n][1] for n in (400, 401, 499)]
