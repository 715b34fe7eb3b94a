"""Rows that a version lacks since a store failed are in the next one, and cost no other row."""

from pathlib import Path
from typing import Any

import pytest

from cluster.execute import Result, run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from cluster.runner import Runner
from operators.storage.table import Table
from pipelines.gather import FAILED
from pipelines.spec import Pipeline
from tests.absent import Without
from tests.pipeline_builders import (
    built,
    good_rows,
    ids_of,
    lineage_of,
    lines,
    quarantined,
    vectors_phase,
    write_files,
)

LENIENT: dict[str, Any] = {"max_bad_rows": 9, "max_bad_units": 1, "max_deleted": 99, "sample": 0}


def run(pipeline: Pipeline, runner: Runner | None = None) -> Result:
    return run_pipeline(pipeline, runner or LocalRunner(), Progress(quiet=True))[-1]


@pytest.fixture
def docs(tmp_path) -> Path:
    """Two files, each a unit."""
    parts = {"a.jsonl": lines(good_rows(0, 15)), "b.jsonl": lines(good_rows(20, 35))}
    return Path(write_files(f"{tmp_path}/docs", parts))


@pytest.fixture
def table(tmp_path) -> str:
    return f"{tmp_path}/vectors"


@pytest.fixture
def pipeline(docs, table, tiny_model) -> Pipeline:
    return built(tiny_model, vectors=vectors_phase(str(docs), table, gate=LENIENT))


def test_what_a_store_kept_from_a_version_is_in_the_next_one_of_the_same_source(
    docs, table, pipeline
):
    run(pipeline, Without(file=docs / "b.jsonl"))
    assert ids_of(table) == [row["id"] for row in good_rows(0, 15)]
    assert len(lineage_of(table)["passing_units"]) == 1
    assert run(pipeline).version == 1
    assert ids_of(table) == [row["id"] for row in [*good_rows(0, 15), *good_rows(20, 35)]]
    assert run(pipeline).counts is None


def test_what_a_store_keeps_from_a_version_again_makes_no_other(docs, table, pipeline, capsys):
    absent = Without(file=docs / "b.jsonl")
    run(pipeline, absent)
    for _ in range(2):
        run_pipeline(pipeline, absent, Progress())
        assert (
            "nothing changed, version 0 stays: 1 of its units failed again"
            in capsys.readouterr().err
        )
    assert Table(table).version() == 0
    assert run(pipeline).version == 1


def test_a_row_whose_text_failed_in_another_file_is_read_again_with_that_file(
    docs, table, pipeline
):
    run(pipeline)
    text = "a text that two files share"
    write_files(
        str(docs),
        {
            "c.jsonl": lines([{"id": "x1", "text": text}, *good_rows(40, 55)]),
            "d.jsonl": lines([*good_rows(60, 75), {"id": "x2", "text": text}]),
        },
    )
    run(pipeline, Without(file=docs / "c.jsonl"))
    assert quarantined(table) == {("x2", FAILED)}
    run(pipeline)
    assert quarantined(table) == set()
    assert ids_of(table)[-2:] == ["x1", "x2"]
    assert len(ids_of(table)) == 15 * 4 + 2
