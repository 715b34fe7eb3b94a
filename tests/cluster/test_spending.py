"""A run stops at its budget, keeps what is finished, and goes on from there."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from cluster.spending import Spending, spending
from cluster.watching import Stage
from operators.base import Resources
from operators.encode import device
from operators.errors import BudgetError
from operators.storage.receipts import RunFolder, runs
from operators.storage.table import Table
from operators.text.source import Source
from pipelines.config import load
from pipelines.estimate import estimate
from pipelines.forecast import forecasts
from pipelines.plan import plan_phase
from pipelines.spec import Budget, Phase, Step, Write
from pipelines.work import Failure
from tests.lake import Lake, beir
from tests.pipeline_builders import config, good_rows, ids_of, lines, vectors_phase, write_files
from tests.poison import Hang

STAGE = Stage("vectors", "r", units=4, waiting=4, workers=2, models={"encode": 2})
ENDED = Failure("u1", "whatever")


@pytest.fixture
def place(tmp_path: Path) -> str:
    """A config of one phase with many units and a price that makes a second cost 1000."""
    docs = write_files(
        str(tmp_path / "docs"), {f"{n}.jsonl": lines(good_rows(n, n + 1)) for n in range(80)}
    )
    (tmp_path / "rows.yaml").write_text(
        f"phases: {{ rows: {{ read: {{ uri: {docs}, unit_bytes: 100 }},"
        f" write: {{ table: {tmp_path}/rows }} }} }}\n"
        "budget: { price_per_hour: 3600000, max_cost: 1 }\n"
    )
    return str(tmp_path / "rows.yaml")


def test_a_run_that_passes_its_budget_stops_and_the_next_goes_on(place, tmp_path):
    table = str(tmp_path / "rows")
    pipeline = load(place)
    with pytest.raises(BudgetError) as caught:
        run_pipeline(
            pipeline, LocalRunner(), Progress(quiet=True, watchers=spending(pipeline.budget, 1.0))
        )
    assert caught.value.exit_code == 3
    assert caught.value.cost > 1.0
    assert Table(table).version() == -1
    (run,) = runs(table)
    kept = RunFolder(table, run).receipts()
    assert caught.value.finished <= len(kept) < caught.value.units
    (result,) = run_pipeline(pipeline, LocalRunner(), Progress(quiet=True))
    assert result.reused_units == len(kept)
    assert ids_of(table) == [f"d{n:04d}" for n in range(80)]


def test_the_command_stops_with_status_3_and_yes_lifts_the_limit(place, cli):
    pipeline = load(place)
    planned = sum(f.found.cost.value + f.found.cost.margin for f in forecasts(pipeline, probe=True))
    budget = f"budget.max_cost={max(planned, 1.0) * 2}"
    code, out, err = cli("run", place, "--set", budget)
    assert (code, out) == (3, "")
    assert re.search(
        r"error: phase rows: stopped at the budget: it has cost [\d,.]+ so far, more than [\d,.]+; "
        r"\d+ of \d+ units are finished and kept; run again to go on for as much again, "
        r"raise budget.max_cost, or run with --yes",
        err,
    )
    code, out, err = cli("run", place, "--yes")
    assert code == 0
    assert re.search(r"phase rows: \d+ of \d+ units were finished before", err)
    assert "80 rows" in out


@pytest.fixture
def dear(tmp_path: Path, tiny_model: Path) -> str:
    """A config whose encoder asks for a GPU, and that costs more than its budget."""
    docs = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(good_rows(0, 20))})
    phase = vectors_phase(docs, str(tmp_path / "vectors"))
    phase["steps"][1]["resources"] = {"gpus": 1}
    budget = "budget: { price_per_hour: 3600000, max_cost: 0.0001 }\n"
    (tmp_path / "vectors.yaml").write_text(config(tiny_model, vectors=phase) + budget)
    return str(tmp_path / "vectors.yaml")


def test_a_plan_above_the_budget_is_refused_before_anything_is_written(cli, tmp_path, dear):
    code, _, err = cli("run", dear)
    assert code == 3
    assert "run with --yes to go on all the same" in err
    assert not (tmp_path / "vectors").exists()


@pytest.mark.ray
@pytest.mark.skipif(device.pick("auto").type != "cpu", reason="a GPU is here")
def test_on_ray_no_price_is_reckoned_on_a_cpu_for_steps_that_run_on_gpus(cli, dear, ray_started):
    code, _, err = cli("run", dear, "--runner", "ray")
    why = "no GPU is here to time it on"
    assert f"nothing tells the price of vectors ({why}); the run stops at 0.00" in err
    assert (code, "GPU" in err.splitlines()[-1]) == (3, True)  # the tests' cluster has none
    assert "--yes" not in err


def test_phases_that_read_what_is_yet_to_be_made_are_named_as_without_a_price(
    tmp_path, tiny_model, tiny_teacher, cli
):
    beir(tmp_path)
    asked = Lake(tmp_path, tiny_model, tiny_teacher).config()
    asked["budget"] = {"price_per_hour": 3600000, "max_cost": 0.0001}
    (tmp_path / "lake.yaml").write_text(yaml.safe_dump(asked, sort_keys=False))
    code, _, err = cli("run", str(tmp_path / "lake.yaml"))
    why = "it reads what is yet to be made"
    untold = ", ".join(f"{name} ({why})" for name in ("negatives", "scores", "triples"))
    assert f"nothing tells the price of {untold}; the run stops at " in err
    assert (code, "run with --yes" in err) == (3, True)


def test_of_two_model_steps_of_one_name_the_larger_one_counts(tmp_path):
    docs = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(good_rows(0, 3))})
    words = (("molasses", 4), ("tar", 2))
    steps = tuple(Step(Hang(word), Resources(workers=n)) for word, n in words)
    plan = plan_phase(Phase("p", Source(uri=docs), steps, Write(str(tmp_path / "t"))))
    stage = Stage.of(plan, {})
    assert (stage.workers, stage.models) == (4, {"hang": 6})
    found = estimate(plan, price_per_hour=1.0)
    assert found.hours is not None
    assert found.cost is not None
    assert found.cost.how == "hours × 4 workers × 1 an hour"
    took = found.sample.seconds  # each step's own
    assert found.hours.value == pytest.approx(max(took[0] / 4, took[1] / 2) / 3600)


def test_the_last_unit_is_no_reason_to_stop():
    watcher = Spending(price_per_hour=1e12, limit=0.001)
    watcher.begins(replace(STAGE, waiting=1))
    watcher.saw(STAGE, ENDED)


def test_a_suspect_that_is_yet_to_run_alone_has_not_ended():
    watcher = Spending(price_per_hour=1e12, limit=0.001)
    watcher.begins(replace(STAGE, waiting=1))
    with pytest.raises(BudgetError):
        watcher.saw(STAGE, replace(ENDED, suspect=True))


def test_what_earlier_phases_cost_counts():
    watcher = Spending(price_per_hour=1e12, limit=0.001)
    watcher.begins(replace(STAGE, waiting=1))
    watcher.saw(STAGE, ENDED)
    watcher.ends(STAGE)
    cheap = replace(watcher, price_per_hour=1e-12)
    cheap._spent = watcher._spent
    cheap.begins(STAGE)
    with pytest.raises(BudgetError, match="1 of 4 units are finished"):
        cheap.saw(STAGE, ENDED)


def test_no_limit_watches_nothing():
    assert spending(Budget(price_per_hour=5), 0.0) == []
