import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operators.storage.parquet import write_shard
from operators.storage.table import Table
from tests import corpora
from tests.training_tables import DOCUMENTS, TEXT, Collection, exported

SCORES = {f"d{n}": round(0.9 - n / 100, 2) for n in range(40)}
LOGITS = {f"d{n}": float(8 - n) for n in range(40)}


@pytest.fixture
def collection(tmp_path) -> Collection:
    return Collection(str(tmp_path / "in"))


def mined(collection: Collection) -> pa.Table:
    return collection.mined(
        ("q0", ["d0"], ["d3", "d4", "d5"]),
        ("q1", ["d1", "d2"], ["d4", "d3"]),
        ("q2", ["d6"], []),
        scores=SCORES,
    )


def rows(folder: Path, name: str = "train") -> list[dict[str, object]]:
    return pq.read_table(folder / f"{name}.parquet").to_pylist()


def texts(*names: str) -> list[str]:
    return [str(TEXT[name]) for name in names]


def run(uri: str, out: Path, form: str, *options: str) -> int:
    return exported([uri, "--format", form, "--out", str(out), *options])


def test_triplets_are_one_row_a_negative(collection, tmp_path, capsys) -> None:
    uri = collection.negatives(mined(collection))
    assert run(uri, tmp_path / "out", "triplet") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].endswith("out: 7 rows of 4 examples, labels none")
    assert told[1] == "1 examples left out: too few negatives, or no finite label"
    found = [tuple(row.values()) for row in rows(tmp_path / "out")]
    assert found[:3] == [tuple(texts("q0", "d0", name)) for name in ("d3", "d4", "d5")]
    assert found[5:] == [tuple(texts("q1", "d2", name)) for name in ("d4", "d3")]
    assert list(rows(tmp_path / "out")[0]) == ["anchor", "positive", "negative"]


def test_n_tuples_are_as_wide_as_keeps_the_most_negatives_or_as_asked(collection, tmp_path) -> None:
    uri = collection.negatives(mined(collection))
    assert run(uri, tmp_path / "out", "n-tuple") == 0
    found = [list(row.values()) for row in rows(tmp_path / "out")]
    assert found == [
        texts("q0", "d0", "d3", "d4"),
        texts("q1", "d1", "d4", "d3"),
        texts("q1", "d2", "d4", "d3"),
    ]
    assert run(uri, tmp_path / "three", "n-tuple", "--negatives", "3") == 0
    (row,) = rows(tmp_path / "three")
    assert list(row) == ["anchor", "positive", "negative_1", "negative_2", "negative_3"]


def test_scores_are_the_similarity_or_the_teachers(collection, tmp_path) -> None:
    table = mined(collection)
    assert run(collection.negatives(table), tmp_path / "a", "n-tuple-scores") == 0
    assert rows(tmp_path / "a")[0]["scores"] == pytest.approx([0.9, 0.87, 0.86])
    triples = collection.triples(table, "margin-mse", LOGITS)
    assert run(triples, tmp_path / "b", "n-tuple-scores") == 0
    assert [row["scores"] for row in rows(tmp_path / "b")] == [[8, 5, 4], [7, 4, 5], [6, 4, 5]]
    assert run(triples, tmp_path / "c", "triplet", "--labels", "scores") == 0
    assert rows(tmp_path / "c")[0]["scores"] == [8, 5]


def test_pairs_and_lists_have_targets_or_judgments_as_labels(collection, tmp_path) -> None:
    table = mined(collection)
    assert run(collection.negatives(table), tmp_path / "a", "labeled-pair") == 0
    found = [tuple(row.values()) for row in rows(tmp_path / "a")]
    assert found[:2] == [(*texts("q0", "d0"), 1.0), (*texts("q0", "d3"), 0.0)]
    assert found[-1] == (*texts("q2", "d6"), 1.0)
    softmax = collection.triples(table, "softmax", LOGITS)
    assert run(softmax, tmp_path / "b", "labeled-list") == 0
    first = rows(tmp_path / "b")[0]
    assert list(first) == ["anchor", "documents", "labels"]
    assert first["documents"] == texts("d0", "d3", "d4", "d5")
    powers = np.exp([8.0, 5, 4, 3])
    assert first["labels"] == pytest.approx(powers / powers.sum())
    assert run(softmax, tmp_path / "c", "labeled-list", "--labels", "log-targets") == 0
    assert np.exp(rows(tmp_path / "c")[0]["labels"]) == pytest.approx(powers / powers.sum())


def test_a_distribution_whose_list_is_cut_sums_to_one_again(collection, tmp_path) -> None:
    softmax = collection.triples(mined(collection), "softmax", LOGITS)
    wanted = np.exp([8.0, 5, 4]) / np.exp([8.0, 5, 4]).sum()
    two = ("--negatives", "2", "--labels")
    assert run(softmax, tmp_path / "a", "n-tuple-scores", "--labels", "targets") == 0
    assert run(softmax, tmp_path / "b", "labeled-list", *two, "targets") == 0
    assert run(softmax, tmp_path / "c", "labeled-list", *two, "log-targets") == 0
    assert rows(tmp_path / "a")[0]["scores"] == pytest.approx(wanted)
    assert rows(tmp_path / "b")[0]["labels"] == pytest.approx(wanted)
    assert rows(tmp_path / "c")[0]["labels"] == pytest.approx(np.log(wanted))


def test_flagembedding_lines_have_the_documented_keys(collection, tmp_path) -> None:
    table = mined(collection)
    uri = collection.triples(table, "softmax", LOGITS)
    assert run(uri, tmp_path / "out", "flagembedding") == 0
    first = lines(tmp_path / "out")[0]
    assert first == {
        "query": TEXT["q0"],
        "pos": texts("d0"),
        "neg": texts("d3", "d4", "d5"),
        "pos_scores": [8.0],
        "neg_scores": [5.0, 4.0, 3.0],
    }
    judged = collection.triples(table, "judged", {})
    assert run(judged, tmp_path / "plain", "flagembedding") == 0
    assert set(lines(tmp_path / "plain")[0]) == {"query", "pos", "neg"}


def test_tevatron_lines_have_the_documented_keys(collection, tmp_path) -> None:
    uri = collection.triples(mined(collection), "softmax", LOGITS)
    assert run(uri, tmp_path / "out", "tevatron", "--negatives", "1") == 0
    assert lines(tmp_path / "out")[0] == {
        "query_id": "q0",
        "query": TEXT["q0"],
        "positive_passages": [{"docid": "d0", "text": TEXT["d0"], "score": 8.0}],
        "negative_passages": [{"docid": "d3", "text": TEXT["d3"], "score": 5.0}],
    }


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]


def test_pylate_has_ids_and_scores_and_each_text_once(collection, tmp_path) -> None:
    uri = collection.triples(mined(collection), "margin-mse", LOGITS)
    assert run(uri, tmp_path / "out", "pylate") == 0
    assert rows(tmp_path / "out")[1] == {
        "query_id": "q1",
        "document_ids": ["d1", "d4", "d3"],
        "scores": [7, 4, 5],
    }
    assert [row["query_id"] for row in rows(tmp_path / "out", "queries")] == ["q0", "q1"]
    documents = {row["document_id"]: row["text"] for row in rows(tmp_path / "out", "documents")}
    assert documents == {name: TEXT[name] for name in ("d0", "d1", "d2", "d3", "d4")}
    assert len(rows(tmp_path / "out", "documents")) == 5


@pytest.mark.parametrize("form", ["parquet", "csv.gz"])
def test_texts_come_from_any_format(tmp_path, form) -> None:
    collection = Collection(str(tmp_path / "in"), form)
    assert run(collection.negatives(mined(collection)), tmp_path / "out", "triplet") == 0
    assert len(rows(tmp_path / "out")) == 7


@pytest.mark.s3
def test_a_table_on_s3_is_exported_to_this_machine(s3, tmp_path) -> None:
    collection = Collection(s3())
    assert run(collection.negatives(mined(collection)), tmp_path / "out", "triplet") == 0
    assert len(rows(tmp_path / "out")) == 7


def test_an_older_version_can_be_exported(collection, tmp_path) -> None:
    uri = collection.negatives(mined(collection))
    table = Table(uri)
    table.commit(0, table.schema(), [], collection.recorded("mine"), "later")
    assert run(uri, tmp_path / "new", "triplet") == 1
    assert run(uri, tmp_path / "old", "triplet", "--version", "0") == 0


def test_many_rows_are_written_batch_by_batch(collection, tmp_path) -> None:
    many = pa.concat_tables([mined(collection)] * 900)
    uri = collection.negatives(many)
    assert run(uri, tmp_path / "out", "triplet") == 0
    assert len(rows(tmp_path / "out")) == 7 * 900
    assert pq.ParquetFile(tmp_path / "out" / "train.parquet").num_row_groups > 2
    assert rows(tmp_path / "out")[7 * 899 :] == rows(tmp_path / "out")[:7]


def test_a_text_that_changed_stops_the_export_and_leaves_nothing(
    collection, tmp_path, capsys
) -> None:
    uri = collection.negatives(mined(collection))
    changed = [(name, f"{text}!" if name == "d5" else text) for name, text in DOCUMENTS]
    path = tmp_path / "in" / "documents.jsonl"
    path.write_bytes(corpora.encode("jsonl", changed))
    assert run(uri, tmp_path / "out", "triplet") == 1
    assert "has changed since it was embedded" in capsys.readouterr().err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in"]


def test_a_folder_that_holds_something_is_left_alone(collection, tmp_path, capsys) -> None:
    uri = collection.negatives(mined(collection))
    (tmp_path / "empty").mkdir()
    assert run(uri, tmp_path / "empty", "triplet") == 0
    assert run(uri, tmp_path / "empty", "triplet") == 2
    assert "it is not empty; name a new folder" in capsys.readouterr().err
    (tmp_path / "file").write_text("x")
    assert run(uri, tmp_path / "file", "triplet") == 2
    assert exported([uri, "--format", "triplet", "--out", "s3://lake/x"]) == 2


@pytest.mark.parametrize(
    ("options", "status", "sentence"),
    [
        (["triplets"], 2, "--format: no format 'triplets'; did you mean 'triplet'?"),
        (["triplet", "--labels", "score"], 2, "no labels 'score'; did you mean 'scores'?"),
        (["labeled-pair", "--labels", "none"], 2, "format labeled-pair has labels"),
        (["triplet", "--version", "7"], 1, "it has no version 7; the newest is 0"),
        (["triplet", "--labels", "targets"], 1, "table of negatives, which has no targets"),
        (["n-tuple", "--negatives", "9"], 1, "none of its 4 examples can be written as n-tuple"),
    ],
)
def test_what_cannot_be_wanted_is_one_sentence(
    collection, tmp_path, capsys, options, status, sentence
) -> None:
    uri = collection.negatives(mined(collection))
    assert run(uri, tmp_path / "out", *options) == status
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("target", "options", "sentence"),
    [
        ("judged", ["n-tuple-scores"], "its triples have no teacher's scores; distil with"),
        ("judged", ["pylate"], "its triples have no teacher's scores"),
        ("margin-mse", ["labeled-list", "--labels", "targets"], "its targets are margins"),
        ("labels", ["labeled-list", "--labels", "log-targets"], "are no distribution"),
    ],
)
def test_labels_that_a_table_has_not_are_refused(
    collection, tmp_path, capsys, target, options, sentence
) -> None:
    uri = collection.triples(mined(collection), target, LOGITS)
    assert run(uri, tmp_path / "out", *options) == 1
    assert sentence in capsys.readouterr().err


def test_a_table_of_something_else_is_refused(collection, tmp_path, capsys) -> None:
    assert run(str(tmp_path / "nothing"), tmp_path / "out", "triplet") == 1
    assert "there is no Delta table" in capsys.readouterr().err
    uri = str(tmp_path / "vectors")
    table = corpora.rows_table([("a", "b")])
    Table(uri).commit(-1, table.schema, [write_shard(uri, "r", "u", table, {})], {}, "key")
    assert run(uri, tmp_path / "out", "triplet") == 1
    assert "neither negatives nor triples, only id, text" in capsys.readouterr().err
    uri = str(tmp_path / "foreign")
    table = mined(collection)
    Table(uri).commit(-1, table.schema, [write_shard(uri, "r", "u", table, {})], {}, "key")
    assert run(uri, tmp_path / "out", "triplet") == 1
    assert "does not say where the texts of its queries are" in capsys.readouterr().err


def test_a_candidate_without_a_similarity_has_no_score_to_learn_from(collection, tmp_path) -> None:
    table = collection.mined(
        ("q0", ["d0"], ["d3", "d4"]), ("q1", ["d1"], ["d4"]), scores={**SCORES, "d3": np.nan}
    )
    uri = collection.negatives(table)
    assert run(uri, tmp_path / "out", "n-tuple-scores", "--negatives", "1") == 0
    assert [row["negative_1"] for row in rows(tmp_path / "out")] == texts("d4", "d4")
