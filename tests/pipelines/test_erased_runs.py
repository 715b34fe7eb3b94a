"""What runs make of a table that rows were erased from, and of a changed keep_days."""

import pytest

from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from operators.errors import ConflictError
from operators.storage import log
from operators.storage.retention import retention_hours
from operators.storage.table import Table
from operators.text.source import Source
from pipelines.erase import Request, erase, plan_erasure, prove
from pipelines.feed import feed
from pipelines.plan import PhasePlan, plan_phase
from pipelines.publish import publish
from pipelines.spec import Gate, Phase, Step, Write
from pipelines.verify import verify_table
from pipelines.work import process_alone
from tests.pipeline_builders import (
    UNIT_BYTES,
    built,
    good_rows,
    ids_of,
    lineage_of,
    lines,
    vectors_phase,
    write_files,
)
from tests.poison import Raise
from tests.training_tables import Collection

GONE = "d0007"


def run(base: str, model: object) -> tuple[int, bool]:
    """Run the config; the version, and whether anything was done."""
    phase = vectors_phase(f"{base}/docs", f"{base}/vectors")
    (result,) = run_pipeline(built(str(model), vectors=phase), LocalRunner(), Progress(quiet=True))
    return result.version, result.counts is not None


def forget(table: str, *ids: str) -> int:
    planned = plan_erasure(Request(table, ids))
    version = erase(planned)
    prove(planned)
    return version


def test_a_table_that_lost_rows_verifies_and_a_run_over_the_same_source_changes_nothing(
    tmp_path, tiny_model
):
    base, table = str(tmp_path), str(tmp_path / "vectors")
    write_files(f"{base}/docs", {"a.jsonl": lines(good_rows(0, 30))})
    assert run(base, tiny_model) == (0, True)
    assert forget(table, GONE, "d0011") == 1
    assert ids_of(table) == [f"d{n:04d}" for n in range(30) if n not in {7, 11}]
    assert "28 rows in" in next(iter(told := list(verify_table(table))))
    assert "encoded again: lowest cosine" in told[-1]
    assert run(base, tiny_model) == (1, False)
    assert feed(table, -1, 1).added == 28


def test_a_later_run_keeps_erased_what_its_source_no_longer_has(tmp_path, tiny_model):
    base, table = str(tmp_path), str(tmp_path / "vectors")
    write_files(
        f"{base}/docs", {"a.jsonl": lines(good_rows(0, 10)), "b.jsonl": lines(good_rows(10, 20))}
    )
    run(base, tiny_model)
    forget(table, GONE)
    rest = [each for each in good_rows(0, 10) if each["id"] != GONE]
    write_files(f"{base}/docs", {"a.jsonl": lines(rest), "c.jsonl": lines(good_rows(20, 25))})
    assert run(base, tiny_model) == (2, True)
    assert ids_of(table) == [f"d{n:04d}" for n in range(25) if n != 7]
    list(verify_table(table))
    forget(table, "d0012", "d0021")  # of a file that was kept, and of one that is new
    list(verify_table(table))
    assert len(ids_of(table)) == 22


def worked(base: str, word: str, days: int = 30) -> PhasePlan:
    """A planned run whose units are done."""
    source = Source(uri=f"{base}/docs", unit_bytes=UNIT_BYTES)
    write = Write(f"{base}/texts", Gate(max_bad_rows=1), keep_days=days)
    plan = plan_phase(Phase("texts", source, (Step(Raise(word)),), write))
    plan.job.folder.register({"phase": "texts", "parent": plan.parent})
    for unit in plan.units:
        process_alone(plan.job, unit)
    return plan


def published(plan: PhasePlan) -> int:
    receipts = plan.job.folder.receipts()
    return publish(plan, {unit.id: receipts[unit.id] for unit in plan.units}, {})[0]


def test_a_run_that_was_planned_before_an_erasure_stops_and_brings_nothing_back(store):
    write_files(f"{store}/docs", {"a.jsonl": lines(good_rows(0, 12))})
    table = f"{store}/texts"
    published(worked(store, "lemon"))
    late = worked(store, "lime")  # staged, with the row
    receipts = late.job.folder.receipts()
    forget(table, GONE)
    with pytest.raises(ConflictError) as caught:
        publish(late, {unit.id: receipts[unit.id] for unit in late.units}, {})
    assert caught.value.exit_code == 5
    assert GONE not in ids_of(table)


def test_a_changed_keep_days_reaches_the_table_with_the_next_commit(store):
    write_files(f"{store}/docs", {"a.jsonl": lines(good_rows(0, 5))})
    table = f"{store}/texts"
    assert published(worked(store, "lemon")) == 0
    assert (Table(table).version(), retention_hours(table)) == (0, 720)
    assert published(worked(store, "lime", days=90)) == 1
    assert (Table(table).version(), retention_hours(table)) == (2, 90 * 24)
    assert lineage_of(table)["parent"] == 0
    again = worked(store, "lime", days=90)
    assert again.nothing_to_do
    configuration = log.handle(table).metadata().configuration
    assert configuration["delta.logRetentionDuration"] == "interval 365 days"
    assert published(worked(store, "lemon", days=90)) == 3
    assert Table(table).version() == 3


def test_training_rows_that_name_an_erased_document_go_and_the_others_stay(tmp_path):
    lake = Collection(str(tmp_path))
    scores = {f"d{n}": 1 - n / 100 for n in range(40)}
    mined = lake.mined(("q0", ["d1"], ["d2", "d3"]), ("q1", ["d4"], ["d5"]), scores=scores)
    for table in (lake.negatives(mined), lake.triples(mined, "margin-mse", scores)):
        forget(table, "d3")
        (rows,) = Table(table).read()
        assert rows["query_id"].to_pylist() == ["q1"]
        assert "'d3'" not in str(rows.to_pylist())
