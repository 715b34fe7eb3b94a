import gzip
import hashlib
import json
import os
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.errors import SourceError
from operators.storage import uri as storage
from operators.text.rows import read_unit
from operators.text.source import Source
from tests import corpora

CHARACTERS = "ab é中\U0001f600\"',.\t"
WORDS = st.text(alphabet=CHARACTERS, max_size=12)
ROWS = st.lists(st.tuples(WORDS, st.none() | WORDS), min_size=1, max_size=14)


def expected(rows: list[corpora.Row]) -> list[tuple[str | None, str | None, str | None]]:
    """What a reader must make of rows, in plain Python."""
    return [(name, *_judged(name, text)) for name, text in rows]


def _judged(name: str | None, text: str | None) -> tuple[str | None, str | None]:
    reasons = {
        "id is null": name is None,
        "id is empty": name is not None and not name.strip(),
        "text is null": text is None,
        "text is empty": text is not None and not text.strip(),
    }
    reason = next((reason for reason, holds in reasons.items() if holds), None)
    return (None if reason else text), reason


def found(table: pa.Table) -> list[tuple[str | None, str | None, str | None]]:
    return list(zip(*(table[name].to_pylist() for name in ("id", "text", "error")), strict=True))


@pytest.mark.parametrize("form", corpora.FORMATS)
@settings(max_examples=20, deadline=None)
@given(rows=ROWS, files=st.integers(1, 3), unit_bytes=st.sampled_from([1, 7, 40, 200, 1 << 20]))
def test_any_cutting_gives_the_same_rows_in_the_same_order(form, rows, files, unit_bytes) -> None:
    if not form.startswith(("parquet", "jsonl")):
        rows = [(name, text or "") for name, text in rows]
    with tempfile.TemporaryDirectory() as folder:
        each = -(-len(rows) // files)
        for number in range(files):
            part = rows[number * each : (number + 1) * each]
            Path(folder, f"{number}.{form}").write_bytes(corpora.encode(form, part))
        table = corpora.read(Source(uri=folder, unit_bytes=unit_bytes))
    assert found(table) == expected(rows)
    places = Counter(
        zip(table["source_file"].to_pylist(), table["source_row"].to_pylist(), strict=True)
    )
    assert set(places.values()) == {1}


@settings(max_examples=20, deadline=None)
@given(
    rows=st.lists(st.tuples(WORDS, st.text(alphabet=CHARACTERS + "\n\r", max_size=12)), min_size=1),
    unit_bytes=st.integers(1, 300),
)
def test_csv_values_with_line_breaks_are_read_whole(rows, unit_bytes) -> None:
    rows = [(f"r{name}", text) for name, text in rows]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.csv").write_bytes(corpora.encode("csv", rows))
        source = Source(uri=folder, newlines_in_values=True, unit_bytes=unit_bytes)
        assert found(corpora.read(source)) == expected(rows)


@pytest.mark.parametrize("form", corpora.FORMATS)
def test_every_store_gives_the_same_rows(store, form) -> None:
    rows: list[corpora.Row] = [(str(number), f"text {number} " * 9) for number in range(300)]
    for number in range(3):
        data = corpora.encode(form, rows[number * 100 : number * 100 + 100], group=40)
        storage.write_bytes(f"{store}/in/{number}.{form}", data)
    for uri in (f"{store}/in", f"{store}/in/*.{form}"):
        table = corpora.read(Source(uri=uri, unit_bytes=3000))
        assert found(table) == expected(rows)
        assert Counter(table["source_file"].to_pylist()) == {f"{n}.{form}": 100 for n in range(3)}
    assert len(corpora.read(Source(uri=f"{store}/in/1.{form}"))) == 100


def test_the_rows_have_the_schema_that_was_promised(tmp_path) -> None:
    table = pa.table(
        {
            "id": pa.array([7, 8], pa.uint16()),
            "text": pa.array(["a", "b"]).dictionary_encode(),
            "year": pa.array([1, None], pa.int16()),
            "tags": pa.array([["x"], []], pa.large_list(pa.large_string())),
        }
    )
    corpora.put(str(tmp_path), a__parquet=corpora.parquet(table))
    source = Source(uri=str(tmp_path), keep=("year", "tags"))
    read = corpora.read(source)
    listing, _ = corpora.planned(source)
    assert read.drop_columns(["error"]).schema.equals(listing.schema, check_metadata=True)
    assert read["id"].to_pylist() == ["7", "8"]
    assert str(read["tags"].type) == "list<item: string>"
    assert read["year"].to_pylist() == [1, None]


def test_text_columns_join_where_they_hold_something(tmp_path) -> None:
    titles = ["T", "", None, None, "", "T"]
    texts = ["x", "x", "x", None, None, ""]
    table = pa.table({"id": list("abcdef"), "title": titles, "text": texts})
    corpora.put(str(tmp_path), a__parquet=corpora.parquet(table))
    read = corpora.read(Source(uri=str(tmp_path), text=("title", "text"), separator=" | "))
    assert read["text"].to_pylist() == ["T | x", "x", "x", None, None, "T"]
    assert read["error"].to_pylist() == [None, None, None, "text is null", "text is empty", None]


def test_the_content_hash_is_of_the_normalised_text(tmp_path) -> None:
    corpora.put(str(tmp_path), a__jsonl=corpora.encode("jsonl", [("a", "e\u0301"), ("b", "é")]))
    plain = corpora.read(Source(uri=str(tmp_path)))["content_hash"].to_pylist()
    same = corpora.read(Source(uri=str(tmp_path), normalize="NFC"))["content_hash"].to_pylist()
    digest = hashlib.blake2b("é".encode(), digest_size=16).digest()
    assert plain[1] == digest != plain[0]
    assert same == [digest, digest]


def test_a_text_that_is_too_long_is_named_with_its_size(tmp_path) -> None:
    rows: list[corpora.Row] = [("a", "x" * 1001), ("b", "é" * 500)]
    corpora.put(str(tmp_path), a__jsonl=corpora.encode("jsonl", rows))
    read = corpora.read(Source(uri=str(tmp_path), max_text_bytes=1000))
    assert read["error"].to_pylist() == [
        "text is too long: 1001 bytes, more than max_text_bytes 1000",
        None,
    ]


def test_bytes_that_are_not_utf8_in_a_parquet_file_cost_only_their_rows(tmp_path) -> None:
    values = pa.array([b"good", b"\xff\xfe", None, b"fine", b"\xc3"], pa.binary())
    text = pa.StringArray.from_buffers(5, values.buffers()[1], values.buffers()[2], None)
    notes = pa.array([["ok"], ["ok"], ["ok"], ["ok"], ["ok"]])
    table = pa.table({"id": list("abcde"), "text": text, "note": text, "notes": notes})
    pq.write_table(table.slice(0, 5), tmp_path / "a.parquet")
    read = corpora.read(Source(uri=str(tmp_path), keep=("note", "notes")))
    assert read["text"].to_pylist() == ["good", None, None, "fine", None]
    assert read["id"].to_pylist() == list("abcde")
    assert read["error"].to_pylist() == [
        None,
        "not UTF-8: column 'text'",
        "text is empty",
        None,
        "not UTF-8: column 'text'",
    ]
    assert read["notes"].to_pylist() == [["ok"], None, None, ["ok"], None]
    read.validate(full=True)


def test_a_sample_is_the_same_rows_however_they_are_cut_or_ordered(tmp_path) -> None:
    rows: list[corpora.Row] = [(f"doc-{number}", f"text {number}") for number in range(2000)]
    corpora.put(str(tmp_path / "a"), x__jsonl=corpora.encode("jsonl", rows))
    y, z = (corpora.encode("parquet", part) for part in (rows[:0:-1], rows[:1]))
    corpora.put(str(tmp_path / "b"), y__parquet=y, z__parquet=z)
    source = Source(uri=str(tmp_path / "a"), sample=0.25, seed=3)
    one = set(corpora.read(source)["id"].to_pylist())
    assert one == set(corpora.read(corpora.cut(source, 100))["id"].to_pylist())
    assert one == set(corpora.read(replace(source, uri=str(tmp_path / "b")))["id"].to_pylist())
    assert 400 < len(one) < 600
    assert one < set(corpora.read(replace(source, sample=0.5))["id"].to_pylist())
    assert one != set(corpora.read(replace(source, seed=4))["id"].to_pylist())


def test_a_truncated_gzip_gives_its_complete_parts_and_then_one_sentence(tmp_path) -> None:
    words = hashlib.shake_256(b"x").hexdigest(200_000)
    lines = [json.dumps({"id": str(n), "text": words[n * 40 : n * 40 + 40]}) for n in range(5000)]
    whole = gzip.compress("\n".join(lines).encode())
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(whole)
    source = Source(uri=str(path), unit_bytes=1000)
    listing, (unit,) = corpora.planned(source)
    parts = dict(read_unit(listing.source, unit))
    path.write_bytes(whole[: len(whole) // 2])
    listing, (cut,) = corpora.planned(source)
    before: list[pa.Table] = []
    with pytest.raises(SourceError, match="damaged or cut short"):
        for part, table in read_unit(listing.source, cut):
            assert part == len(before)
            before.append(table)
    assert len(before) > 100
    assert all(table.equals(parts[part]) for part, table in enumerate(before))
    assert all(table["text"].nbytes <= 1000 for table in before)


@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv"])
def test_a_file_that_changed_or_vanished_after_the_listing_is_refused(store, form) -> None:
    uri = f"{store}/a.{form}"
    storage.write_bytes(uri, corpora.encode(form, [("a", "x"), ("b", "y")]))
    listing, (unit,) = corpora.planned(Source(uri=uri))
    storage.write_bytes(uri, corpora.encode(form, [("a", "x"), ("c", "z")]))
    if storage.is_local(uri):
        os.utime(uri, (1, 1))
    with pytest.raises(SourceError, match="changed after it was listed"):
        list(read_unit(listing.source, unit))
    storage.delete([uri])
    with pytest.raises(SourceError, match="not found"):
        list(read_unit(listing.source, unit))


def test_a_damaged_parquet_page_is_one_sentence(tmp_path) -> None:
    rows: list[corpora.Row] = [(str(n), f"text {n * 7919}") for n in range(2000)]
    data = bytearray(corpora.encode("parquet", rows, group=2000))
    data[200:4000] = b"\x00" * 3800
    corpora.put(str(tmp_path), a__parquet=bytes(data))
    with pytest.raises(SourceError, match=r"a\.parquet: the file is damaged or cut short"):
        corpora.read(Source(uri=str(tmp_path)))
