"""A unit that kills its process is halved down to the rows that do it."""

import tempfile
from dataclasses import dataclass, field

import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.storage.parquet import read_shard
from operators.storage.receipts import Receipt
from operators.text.source import Source, Unit
from pipelines.plan import PhasePlan, plan_phase
from pipelines.spec import Phase, Step, Write
from pipelines.suspects import POISON, isolate
from pipelines.work import (
    MAX_ATTEMPTS,
    Failure,
    Job,
    Outcome,
    Parcel,
    begun,
    finish,
    process_alone,
    read_parcels,
)
from tests.pipeline_builders import good_rows, lines, packed_lines, write_files
from tests.poison import Raise

ROWS = 24
NAMES = [f"d{n:04d}" for n in range(ROWS)]


@dataclass
class Alone:
    """Does a suspect's work in this process, and dies of the deadly rows."""

    deadly: frozenset[int]
    dies_at_once: bool = False
    asked: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self, job: Job, unit: Unit, begin: int, end: int) -> list[Outcome] | None:
        self.asked.append((begin, end))
        stop = ROWS if end < 0 else end
        if self.dies_at_once or self.deadly & set(range(begin, stop)):
            return None
        return process_alone(job, unit, begin, end)


def planned(
    folder: str, data: bytes, name: str = "a.jsonl", word: str = "nothing", unit_bytes: int = 0
) -> PhasePlan:
    docs = write_files(f"{folder}/docs", {name: data})
    steps, source = (Step(Raise(word)),), Source(uri=docs, unit_bytes=unit_bytes)
    return plan_phase(Phase("texts", source, steps, Write(f"{folder}/texts")))


@settings(max_examples=15)
@given(st.frozensets(st.integers(0, ROWS - 1), max_size=5))
def test_only_the_rows_that_kill_are_put_aside_and_the_others_keep_their_order(deadly):
    with tempfile.TemporaryDirectory() as folder:
        plan = planned(folder, lines(good_rows(0, ROWS)))
        (outcome,) = isolate(plan.job, plan.units[0], Alone(deadly))
        assert isinstance(outcome, Receipt)
        tables = [read_shard(plan.job.table, shard.path) for shard in outcome.shards]
        kept = [name for table in tables for name in table["id"].to_pylist()]
        assert kept == [name for n, name in enumerate(NAMES) if n not in deadly]
        assert outcome.bad == ({POISON: len(deadly)} if deadly else {})
        assert (outcome.rows_in, outcome.rows_out) == (ROWS, len(kept))
        if deadly:
            aside = read_shard(plan.job.table, outcome.quarantine)
            assert aside["id"].to_pylist() == [NAMES[n] for n in sorted(deadly)]
        assert plan.job.folder.receipts()[plan.units[0].id] == outcome


def test_rows_that_are_bad_for_another_reason_keep_it(tmp_path):
    rows = [*good_rows(0, ROWS - 1), {"id": "blank", "text": ""}]
    plan = planned(str(tmp_path), lines(rows))
    (outcome,) = isolate(plan.job, plan.units[0], Alone(frozenset({3})))
    assert isinstance(outcome, Receipt)
    assert outcome.bad == {POISON: 1, "text is empty": 1}
    errors = read_shard(plan.job.table, outcome.quarantine)["error"]
    assert pc.count_distinct(errors).as_py() == 2


def test_a_half_that_fails_as_a_whole_makes_the_unit_fail_by_name(tmp_path):
    rows = [{"id": str(n), "text": "lemon"} for n in range(3 * ROWS)]
    plan = planned(str(tmp_path), lines(rows), word="lemon")
    (outcome,) = isolate(plan.job, plan.units[0], Alone(frozenset({0})))
    assert isinstance(outcome, Failure)
    assert outcome.unit == plan.units[0].id
    assert "lemon" in outcome.reason
    assert plan.units[0].id not in plan.job.folder.receipts()


def test_a_step_that_kills_before_any_row_is_not_the_rows_fault(tmp_path):
    plan = planned(str(tmp_path), lines(good_rows(0, ROWS)))
    alone = Alone(frozenset(), dies_at_once=True)
    (outcome,) = isolate(plan.job, plan.units[0], alone)
    assert isinstance(outcome, Failure)
    assert "before the first of its rows" in outcome.reason
    assert alone.asked == [(0, -1), (0, 0)]


def test_a_unit_whose_rows_all_kill_is_given_up_soon(tmp_path):
    plan = planned(str(tmp_path), lines(good_rows(0, ROWS)))
    (outcome,) = isolate(plan.job, plan.units[0], Alone(frozenset(range(ROWS))))
    assert isinstance(outcome, Failure)
    assert "more than 16 of its rows" in outcome.reason


@pytest.mark.parametrize("deadly", [frozenset({1}), frozenset()])
def test_a_file_read_in_one_pass_is_tried_alone_and_not_halved(tmp_path, deadly):
    plan = planned(str(tmp_path), packed_lines(good_rows(0, ROWS)), "a.jsonl.gz")
    alone = Alone(deadly)
    outcomes = isolate(plan.job, plan.units[0], alone)
    assert alone.asked == [(0, -1)]
    assert any(isinstance(outcome, Failure) for outcome in outcomes) == bool(deadly)


def dies_after_a_part(job: Job, unit: Unit, begin: int, end: int) -> list[Outcome] | None:
    """Finishes the next part that is not there yet, and the unit once all are."""
    item = next(read_parcels(job, unit))
    if not isinstance(item, Parcel):
        return [item]
    finish(job, item)
    return None


def test_a_file_read_in_one_pass_is_suspect_only_after_attempts_that_finished_no_part(tmp_path):
    plan = planned(str(tmp_path), packed_lines(good_rows(0, ROWS)), "a.jsonl.gz", unit_bytes=99)
    (unit,) = plan.units
    for _ in range(MAX_ATTEMPTS + 2):
        assert begun(plan.job, unit.id, "unit") == 0
        assert dies_after_a_part(plan.job, unit, 0, -1) is None
    assert [begun(plan.job, unit.id, "unit") for _ in range(MAX_ATTEMPTS)] == [0, 1, 2]
    assert isinstance(begun(plan.job, unit.id, "unit"), Failure)


def test_alone_a_file_read_in_one_pass_goes_on_as_long_as_parts_are_finished(tmp_path):
    plan = planned(str(tmp_path), packed_lines(good_rows(0, ROWS)), "a.jsonl.gz", unit_bytes=99)
    (outcome,) = isolate(plan.job, plan.units[0], dies_after_a_part)
    assert isinstance(outcome, Receipt)
    assert outcome.parts > MAX_ATTEMPTS
    assert len(plan.job.folder.receipts()) == outcome.parts + 1
