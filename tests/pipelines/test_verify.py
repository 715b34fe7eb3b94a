"""A table is what its commit says, or verify tells what is not."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from operators.errors import TableError
from operators.storage.table import Table
from pipelines.verify import verify_table
from tests.pipeline_builders import (
    built,
    good_rows,
    lines,
    packed_lines,
    vectors_phase,
    write_files,
)
from tests.tiny_models import build_bert

FILES = {
    "a.jsonl": lines([{"id": "blank", "text": ""}, *good_rows(0, 40)]),
    "b.jsonl.gz": packed_lines(good_rows(38, 60)),
}


def embedded(base: str, model: Path, quantize: dict[str, object]) -> str:
    docs = write_files(base + "/docs", FILES)
    table = base + "/vectors"
    described = vectors_phase(docs, table, quantize=quantize, gate={"max_bad_rows": 3})
    run_pipeline(built(model, vectors=described), LocalRunner(), Progress(quiet=True))
    return table


@pytest.fixture(scope="module")
def pristine(tmp_path_factory, tiny_model):
    """A lake with a model, documents and their int8 vectors, never to be changed."""
    base = tmp_path_factory.mktemp("pristine")
    shutil.copytree(tiny_model, base / "model")
    embedded(str(base), base / "model", {"scheme": "int8"})
    return base


@pytest.fixture
def lake(pristine):
    """The pristine lake, put back after the test as it was."""
    kept = pristine.parent / "kept"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(pristine, kept)
    yield pristine
    shutil.rmtree(pristine)
    shutil.move(kept, pristine)


def first_file(table: str) -> Path:
    return Path(Table(table).files()[0].uri)


@pytest.mark.parametrize(
    "quantize",
    [
        {"scheme": "int8"},
        {"scheme": "fp16"},
        {"scheme": "binary"},
        {"scheme": "binary", "center": "median"},
    ],
    ids=str,
)
def test_a_good_table_passes_and_its_rows_are_encoded_again(store, tiny_model, quantize):
    table = embedded(store, tiny_model, quantize)
    told = list(verify_table(table, rows=16))
    assert told[0].startswith("version 0: 60 rows in")
    assert "encoded again: lowest cosine 1.0" in told[-1]


def test_every_flipped_byte_of_a_shard_is_caught(lake):
    table = str(lake / "vectors")
    place = first_file(table)
    data = place.read_bytes()
    for offset in range(5, len(data), len(data) // 40):
        place.write_bytes(data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :])
        with pytest.raises(TableError):
            list(verify_table(table))
    place.write_bytes(data)
    assert list(verify_table(table))


def test_a_shard_replaced_by_another_is_caught(lake):
    table = str(lake / "vectors")
    one, other, *_ = (Path(file.uri) for file in Table(table).files())
    shutil.copy(other, one)
    with pytest.raises(TableError, match="does not hold the bytes that were written"):
        list(verify_table(table))


def test_without_receipts_a_shard_written_again_with_other_rows_is_caught(lake):
    table = str(lake / "vectors")
    shutil.rmtree(lake / "vectors" / "_corpusmill" / "runs")
    assert list(verify_table(table))
    place = first_file(table)
    with pq.ParquetFile(place) as file:
        rows = file.read()
    pq.write_table(rows.slice(1), place)
    with pytest.raises(TableError, match="does not hold what its name says"):
        list(verify_table(table))


def test_a_shard_that_is_gone_is_caught(lake):
    table = str(lake / "vectors")
    first_file(table).unlink()
    with pytest.raises(TableError):
        list(verify_table(table))


def test_a_model_that_changed_is_said_to_have_changed(lake):
    other = build_bert(lake / "other", seed=1)
    (other / "model.safetensors").replace(lake / "model" / "model.safetensors")
    told = list(verify_table(str(lake / "vectors")))
    assert "a model or operator changed since" in told[-1]


def test_documents_that_are_gone_leave_the_other_checks(lake):
    shutil.rmtree(lake / "docs")
    told = list(verify_table(str(lake / "vectors")))
    assert "checksums, counts, schema and fingerprint of every file hold" in told
    assert told[-1].startswith("no row encoded again: source")


def test_documents_that_changed_are_compared_where_they_did_not(lake):
    changed = [{"id": "d0000", "text": "something else"}, *good_rows(1, 40)]
    write_files(str(lake / "docs"), {"a.jsonl": lines(changed)})
    told = list(verify_table(str(lake / "vectors"), rows=60))
    assert "encoded again: lowest cosine 1.0" in told[-1]


def test_a_source_that_has_moved_on_altogether_does_not_make_a_whole_table_broken(lake):
    changed = [{**row, "text": f"another {row['text']}"} for row in good_rows(0, 40)]
    write_files(str(lake / "docs"), {"a.jsonl": lines(changed)})
    for place in (lake / "docs").glob("b.*"):
        place.unlink()
    told = list(verify_table(str(lake / "vectors"), rows=16))
    assert told[-1].startswith("no row encoded again: all of the sampled rows have changed")


def test_where_there_is_no_table_that_is_said(tmp_path):
    with pytest.raises(TableError, match="there is no table here"):
        list(verify_table(str(tmp_path)))
