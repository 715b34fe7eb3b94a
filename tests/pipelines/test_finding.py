import gzip

import pytest

from operators.beside import Beside, pinned
from operators.errors import SourceError, TableError
from operators.storage import uri as storage
from operators.storage.parquet import write_shard
from operators.storage.table import Table
from operators.text.source import Source
from pipelines.finding import find
from tests import corpora, foreign

LINE = b'{"_id": "a", "title": "t", "text": "x"}\n'


def test_a_folder_of_one_format_needs_no_name_for_it(store) -> None:
    for name in ("b.parquet", "a.parquet", "deep/c.pq", "_scratch/d.csv", ".hidden"):
        storage.write_bytes(f"{store}/{name}", b"x")
    found = find(Source(uri=store))
    assert (found.format, found.kind) == ("parquet", "parquet")
    assert [file.uri.removeprefix(store) for file in found.files] == [
        "/a.parquet",
        "/b.parquet",
        "/deep/c.pq",
    ]


def test_several_formats_in_a_folder_are_counted_and_refused(tmp_path) -> None:
    folder = corpora.put(str(tmp_path), a__csv=b"x", b__csv__gz=b"x", c__json=b"x", README=b"x")
    told = r"it holds 2 csv, 1 jsonl, 1 other \(such as README\); name the files .* by a glob"
    with pytest.raises(SourceError, match=told):
        find(Source(uri=folder))
    assert len(find(Source(uri=f"{folder}/*.csv*")).files) == 2


def test_a_format_that_is_named_takes_its_files_else_the_nameless_ones(tmp_path) -> None:
    folder = corpora.put(str(tmp_path), a__csv=b"x", part1=b"x", part2=b"x")
    assert len(find(Source(uri=folder, format="csv")).files) == 1
    assert len(find(Source(uri=folder, format="jsonl")).files) == 2
    with pytest.raises(SourceError, match="no parquet file; it holds 1 csv"):
        find(Source(uri=f"{folder}/a.csv", format="parquet"))


@pytest.mark.parametrize("uri", ["absent", "absent/*.csv"])
def test_what_is_not_there_is_one_sentence(store, uri) -> None:
    with pytest.raises(SourceError, match="no such file, folder or glob"):
        find(Source(uri=f"{store}/{uri}"))


def test_a_beir_folder_is_known_by_its_two_halves(store) -> None:
    storage.write_bytes(f"{store}/corpus.jsonl.gz", gzip.compress(LINE))
    storage.write_bytes(f"{store}/queries.jsonl", b'{"_id": "q", "text": "y"}\n')
    storage.write_bytes(f"{store}/qrels/test.tsv", b"q\ta\t1\n")
    assert corpora.read(Source(uri=store))["text"].to_pylist() == ["t x"]
    queries = corpora.read(Source(uri=store, part="queries"))
    assert queries.select(["id", "text"]).to_pylist() == [{"id": "q", "text": "y"}]
    with pytest.raises(SourceError, match="no BEIR folder"):
        find(Source(uri=f"{store}/qrels", format="beir"))


@pytest.mark.parametrize("other", ["corpus.csv", "corpus.faiss", "corpus.embeddings.npy"])
def test_what_lies_beside_the_halves_of_a_beir_folder_is_not_read_as_one(tmp_path, other) -> None:
    for name, content in (("corpus.jsonl", LINE), ("queries.jsonl", LINE), (other, b"\x93NUMPY")):
        storage.write_bytes(f"{tmp_path}/{name}", content)
    [file] = find(Source(uri=str(tmp_path))).files
    assert file.uri.endswith("/corpus.jsonl")


def test_a_delta_table_is_read_at_the_version_asked_for(store) -> None:
    table = Table(f"{store}/t")
    for version in range(2):
        rows = corpora.rows_table([(f"v{version}", "x")])
        shard = write_shard(table.uri, f"run{version}", "u0", rows, {})
        table.commit(version - 1, rows.schema, [shard], {}, f"run{version}")
    assert corpora.read(Source(uri=table.uri))["id"].to_pylist() == ["v1"]
    assert corpora.read(Source(uri=table.uri, version=0))["id"].to_pylist() == ["v0"]
    with pytest.raises(SourceError, match="no version 7; the newest is 1"):
        find(Source(uri=table.uri, version=7))
    with pytest.raises(SourceError, match="it is a Delta table"):
        find(Source(uri=table.uri, format="parquet"))
    with pytest.raises(SourceError, match="there is no Delta table"):
        find(Source(uri=store, format="delta"))


@pytest.mark.parametrize(
    ("change", "told"),
    [(foreign.delete_first_row, "deletion vectors"), (foreign.map_columns, "column mapping")],
)
def test_a_version_whose_rows_are_not_those_of_its_files_is_refused(store, change, told) -> None:
    table = Table(store)
    shard = write_shard(store, "run", "u0", corpora.rows_table([("a", "x"), ("b", "y")]), {})
    table.commit(-1, corpora.rows_table([]).schema, [shard], {}, "run")
    change(store)
    with pytest.raises(TableError, match=rf"version 1 cannot be read: .* \({told}\)"):
        find(Source(uri=store))
    with pytest.raises(TableError, match=told):
        pinned(Beside(uri=store), {})
    assert corpora.read(Source(uri=store, version=0))["id"].to_pylist() == ["a", "b"]
    assert pinned(Beside(uri=store, version=0), {}).version == 0


def test_a_table_that_may_have_deletion_vectors_and_has_none_is_read(tmp_path) -> None:
    table = Table(str(tmp_path))
    shard = write_shard(table.uri, "run", "u0", corpora.rows_table([("a", "x")]), {})
    table.commit(-1, corpora.rows_table([]).schema, [shard], {}, "run")
    foreign.allow_deletion_vectors(table.uri)
    assert corpora.read(Source(uri=table.uri))["id"].to_pylist() == ["a"]
