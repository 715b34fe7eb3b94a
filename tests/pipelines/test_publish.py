"""A run's files become the table by one commit, or not at all."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from operators.errors import ConflictError, GateError, TableError
from operators.storage import uri as files
from operators.storage.parquet import Shard
from operators.storage.receipts import Receipt
from operators.storage.table import Table
from operators.text.source import Source
from pipelines.plan import PhasePlan, plan_phase
from pipelines.publish import publish
from pipelines.spec import Asked, Gate, Phase, Step, Write
from pipelines.update import Update
from pipelines.work import process_alone
from tests.gated import checks
from tests.pipeline_builders import (
    UNIT_BYTES,
    good_rows,
    ids_of,
    lineage_of,
    lines,
    quarantined,
    write_files,
)
from tests.poison import Raise

ROWS = 40
NAMES = [f"d{n:04d}" for n in range(ROWS)]
LOOSE = Gate(max_bad_rows=1)
LOST = Shard("data/run/lost-0.parquet", 8, 100, "0")
Receipts = Mapping[str, Receipt]


def worked(
    base: str, word: str = "lemon", gate: Gate = LOOSE, nonce: str = ""
) -> tuple[PhasePlan, Receipts]:
    """A planned phase whose units are done; another word is another recipe."""
    if not files.list_names(f"{base}/docs"):
        rows = [*good_rows(0, ROWS), {"id": "blank", "text": ""}]
        write_files(f"{base}/docs", {"a.jsonl": lines(rows)})
    source = Source(uri=f"{base}/docs", unit_bytes=UNIT_BYTES)
    phase = Phase("texts", source, (Step(Raise(word)),), Write(f"{base}/texts", gate))
    plan = plan_phase(phase, asked=Asked(nonce=nonce))
    plan.job.folder.register({"phase": "texts", "parent": plan.parent})
    for unit in plan.units:
        process_alone(plan.job, unit)
    receipts = plan.job.folder.receipts()
    return plan, {unit.id: receipts[unit.id] for unit in plan.units}


def status(plan: PhasePlan) -> str:
    return (plan.job.folder.entry() or {})["status"]


def test_a_commit_holds_the_rows_and_says_where_they_come_from(store):
    plan, receipts = worked(store)
    version, counts = publish(plan, receipts, {})
    assert version == 0
    assert ids_of(f"{store}/texts") == NAMES
    assert quarantined(f"{store}/texts") == {("blank", "text is empty")}
    told = lineage_of(f"{store}/texts")
    assert told["run_key"] == plan.run
    assert told["recipe"] == plan.fingerprints["recipe"]
    assert told["snapshot"] == plan.listing.snapshot
    assert (told["parent"], told["phase"], told["source"]) == (-1, "texts", f"{store}/docs")
    assert told["counts"]["rows_in"] == counts.rows_in == ROWS + 1
    assert told["gate"]["max_bad_rows"] == 1
    assert status(plan) == "committed"


def test_a_repeated_run_key_finds_its_own_version(store):
    plan, receipts = worked(store)
    assert publish(plan, receipts, {})[0] == 0
    assert publish(plan, receipts, {})[0] == 0
    other, others = worked(store, word="lime")
    assert publish(other, others, {})[0] == 1
    assert publish(plan, receipts, {})[0] == 0
    assert Table(f"{store}/texts").version() == 1


def test_a_run_planned_on_an_older_version_is_refused(store):
    stale, receipts = worked(store, word="lime")
    plan, others = worked(store)
    publish(plan, others, {})
    with pytest.raises(ConflictError, match="version 0 is the newest now") as refused:
        publish(stale, receipts, {})
    assert refused.value.exit_code == 5
    assert lineage_of(f"{store}/texts")["run_key"] == plan.run
    assert Table(f"{store}/texts").version() == 0


@pytest.mark.parametrize("parent", [-1, 0])
def test_of_runs_that_publish_at_once_one_wins(store, parent):
    if parent == 0:
        publish(*worked(store, word="first"), {})
    runs = [worked(store, word=word) for word in ("lemon", "lime", "plum")]
    assert {plan.parent for plan, _ in runs} == {parent}
    start = Barrier(len(runs))

    def attempt(run: tuple[PhasePlan, Receipts]) -> str:
        start.wait()
        try:
            publish(*run, {})
        except ConflictError:
            return ""
        return run[0].run

    with ThreadPoolExecutor(len(runs)) as pool:
        (winner,) = filter(None, pool.map(attempt, runs))
    table = Table(f"{store}/texts")
    assert table.version() == parent + 1
    assert lineage_of(f"{store}/texts")["run_key"] == winner
    assert {file.path.split("/")[1] for file in table.files()} == {winner}
    assert ids_of(f"{store}/texts") == NAMES


def test_the_same_run_twice_at_once_is_one_version(store):
    run = worked(store)
    with ThreadPoolExecutor(2) as pool:
        versions = list(pool.map(lambda _: publish(*run, {})[0], range(2)))
    assert versions == [0, 0]
    assert Table(f"{store}/texts").version() == 0
    assert ids_of(f"{store}/texts") == NAMES


@pytest.mark.parametrize("harm", ["gone", "cut short"])
def test_with_a_staged_file_gone_or_cut_short_nothing_is_published(store, harm):
    publish(*worked(store, word="first"), {})
    plan, receipts = worked(store)
    path = next(shard.path for receipt in receipts.values() for shard in receipt.shards)
    place = files.join(f"{store}/texts", path)
    if harm == "gone":
        files.delete([place])
    else:
        files.write_bytes(place, files.read_bytes(place)[:-1])
    with pytest.raises(TableError, match="nothing was committed"):
        publish(plan, receipts, {})
    assert Table(f"{store}/texts").version() == 0
    assert ids_of(f"{store}/texts") == NAMES


def test_a_refused_version_leaves_the_old_one_and_its_own_files(store):
    publish(*worked(store, word="first"), {})
    plan, receipts = worked(store, gate=Gate(max_bad_rows=0))
    with pytest.raises(GateError, match="1 × text is empty") as refused:
        publish(plan, receipts, {})
    assert refused.value.exit_code == 4
    assert Table(f"{store}/texts").version() == 0
    staged = [shard.path for receipt in receipts.values() for shard in receipt.shards]
    sizes = [files.size_of(files.join(f"{store}/texts", path)) for path in staged]
    assert all(sizes)
    assert status(plan) == "refused"
    assert (plan.job.folder.entry() or {})["reasons"] == list(refused.value.reasons)


def test_a_unit_that_failed_counts_against_the_gate_and_is_named_in_the_commit(tmp_path):
    plan, receipts = worked(str(tmp_path))
    first = plan.units[0].id
    left = {unit: receipt for unit, receipt in receipts.items() if unit != first}
    with pytest.raises(GateError, match=r"1 unit failed.*a\.jsonl: it burnt"):
        publish(plan, left, {first: "a.jsonl: it burnt"})
    plan, receipts = worked(str(tmp_path), gate=Gate(max_bad_rows=1, max_bad_units=1))
    publish(plan, {unit: receipts[unit] for unit in left}, {first: "a.jsonl: it burnt"})
    told = lineage_of(f"{tmp_path}/texts")["counts"]
    assert told["bad_units"] == {first: "a.jsonl: it burnt"}
    assert len(ids_of(f"{tmp_path}/texts")) == ROWS - receipts[first].rows_out


def test_rows_that_stay_are_of_the_version_and_count_for_min_rows(tmp_path):
    table = f"{tmp_path}/texts"
    publish(*worked(str(tmp_path), word="first"), {})
    kept = tuple(Shard(file.path, file.rows, file.size, "") for file in Table(table).files())
    plan, _ = worked(str(tmp_path), gate=Gate(min_rows=0.99), nonce="nothing written")
    all_stay = Update(kept, parent_rows=ROWS)
    version, counts = publish(plan, {}, {}, all_stay)
    assert (version, counts.rows_out, ids_of(table)) == (1, 0, NAMES)
    assert lineage_of(table)["kept_rows"] == ROWS
    found = checks(lineage_of(table))
    assert (found["min_rows"]["found"], found["min_rows"]["least"]) == (ROWS, 0.99 * ROWS)

    plan, _ = worked(str(tmp_path), gate=Gate(min_rows=ROWS), nonce="one file gone")
    gone = kept[0].rows
    some_stay = Update(kept[1:], parent_rows=ROWS, deleted=gone)
    with pytest.raises(GateError, match=f"{ROWS - gone} rows, fewer than min_rows {ROWS}"):
        publish(plan, {}, {}, some_stay)
    plan, _ = worked(str(tmp_path), gate=Gate(max_deleted=gone - 1), nonce="one file gone")
    with pytest.raises(GateError, match=f"{gone} of the last version's {ROWS} rows are gone"):
        publish(plan, {}, {}, some_stay)
    plan, _ = worked(str(tmp_path), gate=Gate(max_deleted=gone), nonce="one file gone")
    assert publish(plan, {}, {}, some_stay)[0] == 2
    assert len(ids_of(table)) == ROWS - gone


def test_every_check_is_recorded_with_its_figure_and_its_bound(tmp_path):
    publish(*worked(str(tmp_path)), {})
    found = checks(lineage_of(f"{tmp_path}/texts"))
    bounds = {
        name: (check["found"], check["least"], check["most"]) for name, check in found.items()
    }
    assert bounds == {
        "rows": (ROWS, 1, None),
        "min_rows": (ROWS, 0, None),
        "max_bad_rows": (1, None, 1),
        "max_bad_units": (0, None, 0),
        "not finite": (0, None, 0),
    }


def test_force_overrides_the_gate_but_not_a_version_without_rows(tmp_path):
    publish(*worked(str(tmp_path), word="first"), {})
    plan, receipts = worked(str(tmp_path), gate=Gate(max_bad_rows=0))
    forced = replace(plan, asked=Asked(forced_by="ada@host", forced_because="known"))
    with pytest.raises(GateError, match=r"no row is left \(not to be forced\)"):
        publish(forced, {}, {})
    with pytest.raises(TableError, match="nothing was committed"):
        publish(forced, {"u": replace(next(iter(receipts.values())), shards=(LOST,))}, {})
    assert publish(forced, receipts, {})[0] == 1
    told = lineage_of(f"{tmp_path}/texts")["forced"]
    assert (told["by"], told["because"]) == ("ada@host", "known")
    assert ["1 × text is empty" in reason for reason in told["reasons"]] == [True]
