"""Another codec codes the vectors that are there; it encodes only where the floats are gone."""

from pathlib import Path
from typing import Any

import pytest

from cluster.execute import Result, run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from operators.storage.table import Table
from pipelines.plan import plan_phase
from pipelines.spec import Pipeline
from tests.pipeline_builders import (
    Row,
    built,
    equal_tables,
    good_rows,
    lineage_of,
    lines,
    vectors_phase,
    write_files,
)

ROWS = good_rows(0, 40)
KEPT = {"scheme": "int8", "keep_embedding": True}
OTHERS: dict[str, dict[str, Any]] = {
    "the codes of another scheme": {"scheme": "binary"},
    "a codec that learns": {"scheme": "binary", "center": "median", "keep_embedding": True},
    "the floats rounded": {"scheme": "fp16"},
    "the same codes without the floats": {"scheme": "int8"},
}


def run(pipeline: Pipeline) -> Result:
    return run_pipeline(pipeline, LocalRunner(), Progress(quiet=True))[-1]


def coded(folder: Path, model: Path, quantize: dict[str, Any], table: str = "vectors") -> Pipeline:
    phase = vectors_phase(f"{folder}/docs", f"{folder}/{table}", quantize=quantize)
    return built(model, vectors=phase)


def documents(folder: Path, rows: list[Row]) -> None:
    half = len(rows) // 2
    files = {"a.jsonl": lines(rows[:half]), "b.jsonl": lines(rows[half:])}
    write_files(f"{folder}/docs", files)


@pytest.mark.parametrize("other", OTHERS.values(), ids=[*OTHERS])
def test_floats_that_were_kept_are_coded_anew_and_only_new_texts_are_encoded(
    tmp_path, tiny_model, other
):
    documents(tmp_path, ROWS)
    before = run(coded(tmp_path, tiny_model, KEPT))
    assert before.counts is not None
    new = [{"id": f"new{n}", "text": f"a text that nobody knows, number {n}"} for n in (1, 2)]
    documents(tmp_path, [*ROWS, *new])
    after = run(coded(tmp_path, tiny_model, other))
    afresh = run(coded(tmp_path, tiny_model, other, "afresh"))
    assert after.counts is not None
    assert afresh.counts is not None
    assert equal_tables(after.table, afresh.table)
    assert after.counts.tokens == afresh.counts.tokens - before.counts.tokens
    assert lineage_of(after.table)["changes"]["reused"] == len(ROWS)


def test_without_a_new_text_nothing_is_encoded(tmp_path, tiny_model):
    documents(tmp_path, ROWS)
    run(coded(tmp_path, tiny_model, KEPT))
    result = run(coded(tmp_path, tiny_model, {"scheme": "binary"}))
    assert result.counts is not None
    assert result.counts.tokens == 0
    assert "encode" not in result.counts.seconds
    assert Table(result.table).version() == 1


@pytest.mark.parametrize("before", [{"scheme": "int8"}, {"scheme": "fp16"}])
def test_floats_that_are_gone_or_rounded_are_encoded_again(tmp_path, tiny_model, before):
    documents(tmp_path, ROWS)
    first = run(coded(tmp_path, tiny_model, before))
    second = run(coded(tmp_path, tiny_model, KEPT))
    afresh = run(coded(tmp_path, tiny_model, KEPT, "afresh"))
    assert first.counts is not None
    assert second.counts is not None
    assert second.counts.tokens == first.counts.tokens
    assert equal_tables(second.table, afresh.table)


def test_the_plan_says_that_vectors_are_coded_anew(tmp_path, tiny_model):
    documents(tmp_path, ROWS)
    run(coded(tmp_path, tiny_model, KEPT))
    (phase,) = coded(tmp_path, tiny_model, {"scheme": "binary"}).phases
    built_on = plan_phase(phase).built_on
    assert built_on is not None
    assert "coded anew" in built_on.told()
    assert "quantize.scheme changed from 'int8' to 'binary'" in built_on.told()
