"""Of rows with one id the first of the source stays, whenever its unit was finished."""

import pickle
import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.storage.parquet import read_shard
from operators.storage.receipts import Receipt
from operators.text.source import Source
from pipelines.duplicates import REASON, remove_duplicates
from pipelines.plan import PhasePlan, plan_phase
from pipelines.spec import Phase, Step, Write
from pipelines.work import process_alone
from tests.pipeline_builders import Row, lines, write_files
from tests.poison import Raise

Found = list[tuple[str, int]]


def planned(folder: str, files: Sequence[list[Row]]) -> PhasePlan:
    """A plan with one unit a file."""
    data = {f"{n}.jsonl": lines(rows) for n, rows in enumerate(files)}
    docs = write_files(f"{folder}/docs", data)
    source = Source(uri=docs, unit_bytes=max(len(part) for part in data.values()))
    return plan_phase(Phase("texts", source, (Step(Raise("?")),), Write(f"{folder}/texts")))


def in_order(plan: PhasePlan) -> dict[str, Receipt]:
    receipts = plan.job.folder.receipts()
    return {unit.id: receipts[unit.id] for unit in plan.units if unit.id in receipts}


def kept(plan: PhasePlan, receipts: dict[str, Receipt]) -> list[str]:
    paths = [shard.path for receipt in receipts.values() for shard in receipt.shards]
    tables = [read_shard(plan.job.table, path) for path in paths]
    return [name for table in tables for name in table["id"].to_pylist()]


IDS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=12)


@settings(max_examples=25)
@given(st.lists(IDS, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_whatever_order_units_finish_in_the_first_row_of_an_id_stays(names, chance):
    with tempfile.TemporaryDirectory() as folder:
        files = [[{"id": name, "text": "text"} for name in some] for some in names]
        plan = planned(folder, files)
        assert sum(len(unit.pieces) for unit in plan.units) == len(files)
        late = list(plan.units)
        chance.shuffle(late)
        for unit in late:
            process_alone(plan.job, unit)
            if chance.random() < 0.6:
                remove_duplicates(plan.job, in_order(plan), map)
        remove_duplicates(plan.job, in_order(plan), map)
        receipts = in_order(plan)
        every = [name for some in names for name in some]
        assert kept(plan, receipts) == list(dict.fromkeys(every))
        assert sum(receipt.bad.get(REASON, 0) for receipt in receipts.values()) == (
            len(every) - len(set(every))
        )


def test_the_later_row_is_quarantined_beside_the_bad_rows_of_its_unit(tmp_path):
    first: list[Row] = [{"id": "a", "text": "one"}]
    second: list[Row] = [
        {"id": "blank", "text": ""},
        {"id": "a", "text": "two"},
        {"id": "b", "text": "three"},
    ]
    plan = planned(str(tmp_path), [first, second])
    assert len(plan.units) == 2
    for unit in plan.units:
        process_alone(plan.job, unit)
    assert remove_duplicates(plan.job, in_order(plan), map) == 1
    receipts = in_order(plan)
    amended = receipts[plan.units[1].id]
    assert (amended.rows_in, amended.rows_out) == (3, 1)
    assert amended.bad == {"text is empty": 1, REASON: 1}
    bad = read_shard(plan.job.table, amended.quarantine)
    assert dict(zip(bad["id"].to_pylist(), bad["error"].to_pylist(), strict=True)) == {
        "blank": "text is empty",
        "a": "duplicate id: an earlier row has it",
    }
    assert receipts[plan.units[0].id].bad == {}


def test_without_duplicates_no_receipt_is_amended(tmp_path):
    plan = planned(str(tmp_path), [[{"id": "a", "text": "one"}], [{"id": "b", "text": "one"}]])
    for unit in plan.units:
        process_alone(plan.job, unit)
    before = in_order(plan)
    assert remove_duplicates(plan.job, before, map) == 0
    assert in_order(plan) == before


def test_repeated_it_writes_the_same_shards(tmp_path):
    rows: list[Row] = [{"id": "a", "text": "one"}, {"id": "a", "text": "two"}]
    plan = planned(str(tmp_path), [rows])
    process_alone(plan.job, plan.units[0])
    original = in_order(plan)
    remove_duplicates(plan.job, original, map)
    once = in_order(plan)
    remove_duplicates(plan.job, original, map)
    assert in_order(plan) == once
    assert isinstance(read_shard(plan.job.table, once[plan.units[0].id].shards[0].path), pa.Table)


def test_units_with_later_rows_are_written_again_by_tasks_that_travel_not_by_the_caller(tmp_path):
    files: list[list[Row]] = [
        [{"id": "a", "text": "one"}, {"id": f"b{n}", "text": "two"}] for n in range(3)
    ]
    plan = planned(str(tmp_path), files)
    for unit in plan.units:
        process_alone(plan.job, unit)
    given = []

    def elsewhere(work: Callable[[int], Any], items: Sequence[int]) -> Iterable[Any]:
        given.append(len(items))
        assert all(not receipt.bad for receipt in in_order(plan).values())
        return map(pickle.loads(pickle.dumps(work)), items)

    assert remove_duplicates(plan.job, in_order(plan), elsewhere) == 2
    assert given == [plan.job.buckets, 2]
    assert kept(plan, in_order(plan)) == ["a", "b0", "b1", "b2"]
