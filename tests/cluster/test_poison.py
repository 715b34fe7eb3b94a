"""One row that kills or breaks a step is put aside alone; every other row is saved."""

import subprocess
import sys
from collections.abc import Sequence

import pytest

from cluster.execute import run_pipeline
from cluster.progress import Progress
from operators.storage.receipts import runs
from operators.storage.table import Table
from pipelines.work import MAX_ATTEMPTS
from tests.pipeline_builders import (
    Row,
    good_rows,
    ids_of,
    lineage_of,
    lines,
    packed_lines,
    quarantined,
    rows_of,
    run_folder,
    write_files,
)
from tests.poison import poisoned

DIES = "the row kills the process"
RAISES = "the step failed"


def spoilt(rows: Sequence[Row], **words: str) -> list[Row]:
    """The rows with a word put into the texts of the ids named."""
    return [
        {**row, "text": f"{row['text']} {words[str(row['id'])]}"} if row["id"] in words else row
        for row in rows
    ]


@pytest.mark.ray
def test_on_ray_a_deadly_row_is_isolated_within_the_run(place_on, runner_called):
    base = place_on("file")
    words = {"d0020": "mercury", "d0060": "arsenic", "d0080": "radium"}
    rows = spoilt(good_rows(0, 120), **words, d0062="lemon", d0100="lemon")
    docs = write_files(base + "/docs", {"a.jsonl": lines(rows)})
    table = base + "/texts"
    (result,) = run_pipeline(poisoned(docs, table), runner_called("ray"), Progress(quiet=True))
    bad = {**dict.fromkeys(words, DIES), "d0062": RAISES, "d0100": RAISES}
    assert quarantined(table) == set(bad.items())
    assert ids_of(table) == [f"d{n:04d}" for n in range(120) if f"d{n:04d}" not in bad]
    assert result.counts is not None
    assert result.counts.bad == {RAISES: 2, DIES: 3}
    assert lineage_of(table)["counts"]["bad_units"] == {}


def run_alone(project, docs, table):
    """The pipeline in a process that its rows may kill; the exit status."""
    command = [sys.executable, "-c", "from tests.poison import main; main()", docs, table]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode in {0, -9} or "DeviceError" in done.stderr, done.stderr
    return done.returncode


@pytest.mark.slow
@pytest.mark.parametrize(("word", "status"), [("arsenic", -9), ("radium", 1)])
def test_in_one_process_a_deadly_row_is_isolated_after_the_runs_it_ended(
    word, status, place_on, project
):
    base = place_on("file")
    rows = spoilt(good_rows(0, 120), d0060=word, d0062="lemon")
    docs = write_files(base + "/docs", {"a.jsonl": lines(rows)})
    table = base + "/texts"
    assert [run_alone(project, docs, table) for _ in range(MAX_ATTEMPTS)] == [status] * MAX_ATTEMPTS
    assert Table(table).version() == -1
    (run,) = runs(table)

    assert run_alone(project, docs, table) == 0
    assert quarantined(table) == {("d0060", DIES), ("d0062", RAISES)}
    assert len(ids_of(table)) == 118
    assert run_folder(table).run == run
    assert max(run_folder(table).attempts().values()) == MAX_ATTEMPTS


def test_in_one_process_a_row_that_raises_is_put_aside_alone(place_on, runner_called):
    base = place_on("file")
    rows = spoilt(good_rows(0, 60), d0007="lemon", d0041="lemon")
    files = {"a.jsonl": lines(rows[:30]), "b.jsonl.gz": packed_lines(rows[30:])}
    docs = write_files(base + "/docs", files)
    table = base + "/texts"
    run_pipeline(poisoned(docs, table), runner_called("local"), Progress(quiet=True))
    assert quarantined(table) == {("d0007", RAISES), ("d0041", RAISES)}
    assert len(rows_of(table)) == 58
