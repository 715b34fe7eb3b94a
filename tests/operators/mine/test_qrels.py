import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest

from operators.errors import ContractError, CorpusmillError, SourceError
from operators.mine.qrels import SCHEMA, Qrels
from tests import corpora

ROWS = [("q2", "d1", 1.0), ("q10", "007", 2.0), ("q2", "d3", 0.0)]
READ = [("q10", "007", 2.0), ("q2", "d1", 1.0), ("q2", "d3", 0.0)]


def lines(rows, join="\t", header="query-id\tcorpus-id\tscore\n") -> bytes:
    body = "".join(
        join.join((query, document, f"{grade:g}")) + "\n" for query, document, grade in rows
    )
    return (header.replace("\t", join) + body).encode()


def trec(rows, join=" ") -> bytes:
    told = (join.join((query, "0", document, f"{grade:g}")) for query, document, grade in rows)
    return ("\n".join(told) + "\n").encode()


def jsonl(rows) -> bytes:
    named = (dict(zip(SCHEMA.names, row, strict=True)) for row in rows)
    return b"".join(json.dumps(row).encode() + b"\n" for row in named)


def parquet(rows, **types) -> bytes:
    columns = {name: [row[place] for row in rows] for place, name in enumerate(SCHEMA.names)}
    return corpora.parquet(pa.table(columns))


FILES = {
    "train.tsv": lines(ROWS),
    "windows.tsv": b"\xef\xbb\xbf" + lines(ROWS).replace(b"\n", b"\r\n"),
    "train.tsv.gz": gzip.compress(lines(ROWS)),
    "qrels.trec": trec(ROWS),
    "qrels.txt": trec(ROWS, "   "),
    "qrels.train.tsv": trec(ROWS, "\t"),
    "qrels.csv": lines(ROWS, ","),
    "qrels.jsonl": jsonl(ROWS),
    "qrels.parquet": parquet(ROWS),
}


def stored(folder: Path, name: str, data: bytes) -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


def rows_of(table: pa.Table) -> list[tuple]:
    assert table.schema == SCHEMA
    return [tuple(row.values()) for row in table.to_pylist()]


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_gives_the_same_judgments_by_id(tmp_path, name) -> None:
    assert rows_of(Qrels(stored(tmp_path, name, FILES[name])).read()) == READ


def test_a_format_may_be_named_where_the_name_says_another(tmp_path) -> None:
    uri = stored(tmp_path, "judged.data", jsonl(ROWS))
    assert rows_of(Qrels(uri, format="jsonl").read()) == READ


def test_a_folder_is_all_of_its_files_and_a_pair_keeps_its_highest_grade(tmp_path) -> None:
    stored(tmp_path, "a.tsv", lines(ROWS))
    stored(tmp_path, "b.tsv", lines([("q2", "d3", 3.0), ("q2", "d1", 0.0), ("q2", "d3", 1.0)]))
    assert rows_of(Qrels(str(tmp_path)).read()) == [*READ[:2], ("q2", "d3", 3.0)]


def test_columns_may_have_any_names_and_ids_may_be_whole_numbers(tmp_path) -> None:
    data = corpora.parquet(pa.table({"topic": [2, 1], "page": [10, 20], "grade": [1, 0]}))
    uri = stored(tmp_path, "qrels.parquet", data)
    qrels = Qrels(uri, query_id="topic", doc_id="page", relevance="grade")
    assert rows_of(qrels.read()) == [("1", "20", 0.0), ("2", "10", 1.0)]


def test_a_header_of_four_columns_is_not_taken_for_a_judgment(tmp_path) -> None:
    told = b"query-id\tcorpus-id\tscore\tsplit\nq\td\t2\ttrain\n"
    assert rows_of(Qrels(stored(tmp_path, "a.tsv", told)).read()) == [("q", "d", 2.0)]


def test_without_a_grade_every_pair_is_relevant(tmp_path) -> None:
    uri = stored(tmp_path, "clicks.csv", b"query_id,doc_id\nq,d\n")
    assert rows_of(Qrels(uri).read()) == [("q", "d", 1.0)]


def test_a_quoted_csv_id_may_hold_a_comma_and_a_tsv_id_a_quote(tmp_path) -> None:
    uri = stored(tmp_path, "a.csv", b'query_id,doc_id\n"q,1",d\n')
    assert rows_of(Qrels(uri).read()) == [("q,1", "d", 1.0)]
    uri = stored(tmp_path, "a.tsv", b'query-id\tcorpus-id\tscore\nq"1\td\t1\n')
    assert rows_of(Qrels(uri).read()) == [('q"1', "d", 1.0)]


WORD = b"query_id,doc_id,score\nq,d,1\nq,e,yes\n"
BAD = {
    "no judgment": ("a.tsv", b"query-id\tcorpus-id\tscore\n", "no judgment"),
    "an empty file": ("a.tsv", b"", "first line is empty"),
    "a missing field": ("a.tsv", lines(ROWS) + b"q\td\n", "Expected 3 columns, got 2"),
    "an empty id": ("a.tsv", lines([("q", "", 1.0)]), "judgment 1: corpus-id is '', not an id"),
    "a word for a grade": ("a.csv", WORD, "judgment 2: score is 'yes', not a number"),
    "a null id": ("a.jsonl", jsonl([("q", None, 1.0)]), "doc_id is null, not an id"),
    "a grade that is none": (
        "a.jsonl",
        jsonl([("q", "d", float("nan"))]),
        "relevance is 'nan', not a number",
    ),
    "broken JSON": ("a.jsonl", b'{"query_id": "q"\n', "JSONDecodeError"),
    "a list for a row": ("a.jsonl", b'["q", "d"]\n', "line 1 is not a JSON object"),
    "ids of two kinds": ("a.jsonl", jsonl([("q", "d", 1), (1, "d", 1)]), "query_id is not text"),
    "not Parquet": ("a.parquet", b"query-id", "a.parquet"),
    "not UTF-8": ("a.tsv", lines(ROWS) + b"q\xff\td\t1\n", "invalid UTF8"),
    "not gzip": ("a.tsv.gz", lines(ROWS), "a.tsv.gz"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_named_in_one_sentence(tmp_path, case) -> None:
    name, data, told = BAD[case]
    with pytest.raises(SourceError) as caught:
        Qrels(stored(tmp_path, name, data)).read()
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_column_that_lacks_is_named_with_those_that_are_there(tmp_path) -> None:
    uri = stored(tmp_path, "a.csv", b"topic,doc_id\nq,d\n")
    with pytest.raises(ContractError, match="'query-id' as string, but its input has only topic"):
        Qrels(uri).read()
    with pytest.raises(ContractError, match="'grade'"):
        Qrels(uri, query_id="topic", relevance="grade").read()


def test_fractions_are_no_ids(tmp_path) -> None:
    uri = stored(tmp_path, "a.parquet", parquet([(1.5, "d", 1.0)]))
    with pytest.raises(ContractError, match="strings or whole numbers"):
        Qrels(uri).read()


def test_nothing_there_is_said(tmp_path) -> None:
    with pytest.raises(CorpusmillError, match="no such file"):
        Qrels(str(tmp_path / "gone.tsv")).read()


def test_identity_is_what_is_judged_and_what_grades_mean_not_how_it_is_stored(tmp_path) -> None:
    digests = {Qrels(stored(tmp_path, name, data)).digest() for name, data in FILES.items()}
    assert len(digests) == 1
    uri = stored(tmp_path, "a.tsv", lines(ROWS))
    assert Qrels(uri).digest() in digests
    assert Qrels(uri, relevant=2).digest() not in digests
    assert Qrels(uri, neutral=(0,)).digest() not in digests
    assert Qrels(stored(tmp_path, "b.tsv", lines(ROWS[1:]))).digest() not in digests
    moved = [("q21", "d", 1.0)], [("q2", "1d", 1.0)]
    ids = {Qrels(stored(tmp_path, "c.tsv", lines(rows))).digest() for rows in moved}
    assert len(ids) == 2


def test_judgments_are_read_only_as_they_were_planned_with(tmp_path) -> None:
    qrels = Qrels(stored(tmp_path, "a.tsv", lines(ROWS)))
    planned = qrels.digest()
    assert qrels.read_as(planned).equals(qrels.read())
    stored(tmp_path, "a.tsv", lines(ROWS[1:]))
    with pytest.raises(SourceError, match="the judgments have changed since the plan was made"):
        qrels.read_as(planned)
