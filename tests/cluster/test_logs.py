"""What a run says on standard error: sentences, or one JSON object a line."""

import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cluster import logs
from operators.storage.receipts import RunFolder
from operators.text.source import Source
from pipelines.config import load
from pipelines.plan import plan_phase
from pipelines.work import MAX_ATTEMPTS
from tests import corpora
from tests.pipeline_builders import good_rows, lines, write_files


@pytest.fixture
def place(tmp_path: Path) -> str:
    """Two phases; the first has an empty row and a damaged file."""
    rows = [*good_rows(0, 5), {"id": "e", "text": ""}]
    docs = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(rows)})
    data = corpora.encode("parquet", [(f"d{n}", f"text {n}") for n in range(9)])
    bad = corpora.put(str(tmp_path / "bad"), a__parquet=data, b__parquet=data[:-9])
    gate = "gate: { max_bad_rows: 0.9, max_bad_units: 1 }"
    (tmp_path / "two.yaml").write_text(
        f"phases:\n"
        f"  rows: {{ read: {{ uri: {docs} }}, write: {{ table: {tmp_path}/rows, {gate} }} }}\n"
        f"  worse: {{ read: {{ uri: {bad} }}, write: {{ table: {tmp_path}/worse, {gate} }} }}\n"
    )
    return str(tmp_path / "two.yaml")


def objects(said: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.splitlines()]


def test_with_log_json_every_line_is_an_object_with_its_phase_run_unit_and_worker(place, cli):
    code, out, err = cli("run", place, "--log-json")
    told = objects(err)
    assert code == 0
    assert out.startswith("rows: version 0")
    assert all({"time", "level", "event"} <= line.keys() for line in told)
    assert all(datetime.fromisoformat(line["time"]).tzinfo for line in told)
    (put_aside,) = (line for line in told if line["event"] == "rows quarantined")
    assert put_aside["phase"] == "rows"
    assert put_aside["reasons"] == {"text is empty": 1}
    assert put_aside["unit"]
    assert put_aside["worker"].endswith(f"/{os.getpid()}")
    assert put_aside["run"]
    (failed,) = (line for line in told if line["event"] == "unit failed")
    assert failed["level"] == "warning"
    assert failed["phase"] == "worse"
    assert "b.parquet" in failed["reason"]
    (counted, _) = (line for line in told if "units" in line)
    assert (counted["units"], counted["total"], counted["rows"], counted["quarantined"]) == (
        1,
        1,
        5,
        1,
    )
    committed = next(line for line in told if "version" in line)
    assert (committed["version"], committed["rows"], committed["phase"]) == (0, 5, "rows")


def test_units_that_died_before_are_told_to_be_begun_again_or_to_run_alone(tmp_path, place, cli):
    """Attempts of a process that was killed are markers that have no receipt."""
    phase = replace(load(place).phases[0], read=Source(uri=f"{tmp_path}/docs", unit_bytes=60))
    plan = plan_phase(phase)
    often = {unit.id: times for unit, times in zip(plan.units, (2, MAX_ATTEMPTS), strict=False)}
    for unit, times in often.items():
        for _ in range(times):
            plan.job.folder.mark_attempt(unit, "unit")
    code, _, err = cli("run", place, "--log-json", "--set", "phases.rows.read.unit_bytes=60")
    assert code == 0
    (again,) = (line for line in objects(err) if line["event"] == "unit was begun again")
    assert (again["retries"], again["unit"]) == (2, plan.units[0].id)
    (alone,) = (line for line in objects(err) if line["event"] == "unit runs alone")
    assert (alone["unit"], alone["reason"]) == (plan.units[1].id, "begun too often")
    receipts = RunFolder(f"{tmp_path}/rows", again["run"]).receipts()
    assert {unit: receipts[unit].retries for unit in often} == {
        again["unit"]: 2,
        plan.units[1].id: 0,
    }


def test_without_it_the_same_run_says_sentences(place, cli):
    code, _, err = cli("run", place)
    assert code == 0
    assert "phase rows: planning\n" in err
    assert not [line for line in err.splitlines() if line.startswith("{")]
    assert "unit failed" not in err


def test_an_error_is_an_object_with_its_status(tmp_path, cli):
    code, _, err = cli("run", str(tmp_path / "none.yaml"), "--log-json")
    (line,) = objects(err)
    assert code == line["exit_code"] == 2
    assert line["level"] == "error"
    assert "cannot be read" in line["event"]


def test_the_environment_asks_for_json_of_every_command(cli, monkeypatch, tmp_path):
    monkeypatch.setenv(logs.VARIABLE, "1")
    code, _, err = cli("table", "show", str(tmp_path / "none"))
    assert (code, objects(err)[0]["exit_code"]) == (1, 1)
    monkeypatch.delenv(logs.VARIABLE)
    _, _, err = cli("table", "show", str(tmp_path / "none"))
    assert err.startswith("error: table ")


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "sentences"])
def test_a_fault_of_ours_shows_its_trace_without_secrets(as_json, capsys):
    logs.choose(as_json=as_json)
    try:
        raise KeyError("AWS_SECRET_ACCESS_KEY=abcdefgh")
    except KeyError:
        logs.LOG.exception("it broke with s3://key:%s@lake", "abcdefgh")
    finally:
        logs.choose(as_json=False)
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "abcdefgh" not in said
    event = objects(said)[0]["event"] if as_json else said.splitlines()[-1].partition(": ")[2]
    assert event == "it broke with s3://***@lake"


def test_text_outside_ascii_and_line_ends_stay_on_one_line(capsys):
    logs.choose(as_json=True)
    logs.say("Füße\nund é", {"n": 3, "share": 0.5, "reasons": {"ö": 1}})
    logs.choose(as_json=False)
    (line,) = objects(capsys.readouterr().err)
    assert (line["event"], line["n"], line["reasons"]) == ("Füße\nund é", 3, {"ö": 1})


def test_the_error_of_a_run_is_found_in_either_form(capsys):
    for as_json in (True, False):
        logs.choose(as_json=as_json)
        logs.say("all is lost", {}, logging.ERROR)
        logs.choose(as_json=False)
        assert logs.error_in(capsys.readouterr().err) == "error: all is lost"
    assert [logs.error_in(each) for each in ("", "{", '{"level": "info"}', "phase x: ok")] == [
        ""
    ] * 4


def test_a_schedule_hands_the_choice_to_its_runs(place, project):
    command = ["schedule", place, "--cron", "* * * * *", "--once", "--log-json"]
    done = subprocess.run(
        [sys.executable, "-m", "cluster.cli", *command],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    assert {line["phase"] for line in objects(done.stderr)} == {"rows", "worse"}
