"""A schedule: what a run's end means for its date, and how it stops and goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cluster.cli import status
from cluster.cron import cron
from cluster.dates import told
from cluster.due import SCHEDULES, Memory, due
from cluster.schedule import Schedule, once
from operators.storage import uri as storage
from operators.storage.lease import LEASES, Holder, held
from operators.storage.table import Table
from tests.pipeline_builders import (
    config,
    good_rows,
    ids_of,
    lineage_of,
    lines,
    run_folder,
    vectors_phase,
    write_files,
)

NIGHTLY = cron("0 3 * * *")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
LAST = NOON - timedelta(hours=9)
"""The newest date of `NIGHTLY` at `NOON`."""
PATIENCE = 300.0


@pytest.fixture
def place(tmp_path: Path) -> str:
    """A config that copies ten rows to the table `out` beside it."""
    docs = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(good_rows(0, 10))})
    phase = {"read": {"uri": docs}, "write": {"table": str(tmp_path / "out")}}
    (tmp_path / "nightly.yaml").write_text(json.dumps({"phases": {"rows": phase}}))
    return str(tmp_path / "nightly.yaml")


def memory_in(folder: Path | str) -> Memory:
    return Memory(str(folder), "nightly")


def ending(memory: Memory, codes: list[int], said: list[str], **fields: bool) -> Schedule:
    """A schedule of each minute whose runs end with these codes, one after the other."""
    script = (
        "import os, pathlib, signal, sys\n"
        "place = pathlib.Path(sys.argv[1]); codes = place.read_text().split()\n"
        "place.write_text(' '.join(codes[1:])); print('ran', *sys.argv[2:])\n"
        "sys.exit(int(codes[0])) if int(codes[0]) >= 0 else os.kill(os.getpid(), -int(codes[0]))\n"
    )
    place = Path(memory.table, "codes")
    place.write_text(" ".join(map(str, codes)))
    command = [sys.executable, "-c", script, str(place)]
    return Schedule(cron("* * * * *"), command, memory, said.append, **fields)


def minutes_ago(count: int) -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=count)


def test_a_date_that_a_commit_names_is_settled_unless_it_is_still_to_come(place, tmp_path):
    out = tmp_path / "out"
    assert status(["run", place, "--date", told(LAST)]) == 0
    assert due(NIGHTLY, memory_in(out), NOON, catch_up=False) is None
    assert due(NIGHTLY, memory_in(out), LAST - DAY, catch_up=False) == LAST - DAY


@pytest.mark.parametrize("code", [0, 2, 4, 5])
def test_a_date_is_over_when_its_run_is_done_wrong_refused_or_busy(tmp_path, code):
    memory, said = memory_in(tmp_path), list[str]()
    memory.settle(minutes_ago(2), 0)
    assert ending(memory, [code], said).work() == code
    assert f"  exit {code}  " in said[0]
    assert memory_in(tmp_path).recall(datetime.now(UTC)) >= minutes_ago(1)


@pytest.mark.parametrize("code", [1, 3, 130, 143, -9])
def test_a_date_stays_due_when_its_run_failed_or_was_stopped(tmp_path, code):
    memory, said = memory_in(tmp_path), list[str]()
    memory.settle(minutes_ago(2), 0)
    assert ending(memory, [code], said).work() == (137 if code == -9 else code)
    assert len(said) == 1
    assert memory_in(tmp_path).recall(datetime.now(UTC)) < minutes_ago(1)
    assert once(ending(memory, [0], said)) == 0
    assert said[1].startswith(told(minutes_ago(0))) or said[1].startswith(told(minutes_ago(1)))


def test_catching_up_runs_each_missed_date_in_order_until_one_stays_open(tmp_path):
    memory, said = memory_in(tmp_path), list[str]()
    first = minutes_ago(5)
    memory.settle(first, 0)
    assert ending(memory, [0, 4, 1], said, catch_up=True).work() == 1
    dates = [told(first + timedelta(minutes=number)) for number in (1, 2, 3)]
    assert [line.split()[0] for line in said] == dates
    assert [f"ran --date {date}" in line for date, line in zip(dates, said, strict=True)] == [
        True
    ] * 3
    assert memory_in(tmp_path).recall(datetime.now(UTC)) == first + timedelta(minutes=2)


def test_a_schedule_whose_storage_fails_says_so_and_goes_on(tmp_path):
    memory, said = memory_in(tmp_path), list[str]()
    storage.write_bytes(memory.uri, b"damaged")
    ending(memory, [0], said).work_on()
    assert len(said) == 1
    assert said[0].startswith(f"error: table {memory.uri}: not what a schedule remembers")
    assert said[0].endswith("; the schedule goes on with its next date")


def test_a_stopped_schedule_begins_nothing(tmp_path):
    memory, said = memory_in(tmp_path), list[str]()
    schedule = ending(memory, [0], said)
    schedule.stop()
    assert schedule.work() is None
    assert said == []


def test_the_due_date_runs_once_and_its_label_is_in_the_table(place, tmp_path, capsys):
    nightly = ["schedule", place, "--cron", "0 3 * * *", "--once"]
    date = told(NIGHTLY.last(datetime.now(UTC)))
    assert status(nightly) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{date}  exit 0  ")
    assert f"rows: version 0 of {tmp_path / 'out'}: 10 rows" in out
    assert lineage_of(str(tmp_path / "out"))["date"] == date
    assert status(nightly) == 0
    assert capsys.readouterr().out.startswith(f"nothing is due; {date} is settled, the next date")
    assert status(["table", "show", str(tmp_path / "out")]) == 0
    assert f"date:              {date}\n" in capsys.readouterr().out
    assert status(["table", "history", str(tmp_path / "out")]) == 0
    assert f"  for {date}\n" in capsys.readouterr().out


def test_a_run_that_another_keeps_out_says_who_and_waits_for_the_next_date(place, tmp_path, capsys):
    nightly = ["schedule", place, "--cron", "0 3 * * *", "--once"]
    with held(str(tmp_path / "out"), Holder.this_process("2026-11-21T03:00:00Z")):
        assert status(["run", place]) == 5
        error = capsys.readouterr().err
        assert f"another run is at work: process {os.getpid()} on " in error
        assert ", for 2026-11-21T03:00:00Z, since 20" in error
        assert status(nightly) == 5
    assert "  exit 5  " in capsys.readouterr().out
    assert Table(str(tmp_path / "out")).version() == -1
    assert status(nightly) == 0
    assert capsys.readouterr().out.startswith("nothing is due")


def test_a_date_repeated_changes_nothing_and_runs_after_a_rollback_or_a_fix(
    place, tmp_path, capsys
):
    out, date = str(tmp_path / "out"), "2026-11-22T03:00Z"
    run = ["run", place, "--date", date]
    assert status([*run, "--set", "phases.rows.write.gate.min_rows=11"]) == 4
    assert status(run) == 0
    assert status(run) == 0
    assert "nothing changed; version 0" in capsys.readouterr().out
    write_files(str(tmp_path / "docs"), {"b.jsonl": lines(good_rows(10, 12))})
    assert status(run) == 0
    assert status(["table", "rollback", out, "0"]) == 0
    assert status(run) == 0
    assert (Table(out).version(), len(ids_of(out))) == (3, 12)
    assert lineage_of(out)["date"] == "2026-11-22T03:00:00Z"


@pytest.mark.parametrize(
    ("options", "phrase"),
    [
        (["--cron", "0 3 * *"], "--cron '0 3 * *': 4 fields"),
        (["--cron", "0 3 * * *", "--timezone", "Mars"], "--timezone Mars: no such time zone"),
        (["--cron", "0 3 * * *", "--name", "../x"], "--name ../x: expected letters"),
        (["--cron", "0 3 * * *", "--runner", "slurm"], "--runner slurm: there are local and ray"),
        (["--cron", "0 3 * * *", "--set", "phases.rows.wirte=1"], "wirte"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(place, tmp_path, options, phrase, capsys):
    assert status(["schedule", place, *options]) == 2
    assert phrase in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("date", ["yesterday", "2026-13-01", "2026-11-22T25:00", "3"])
def test_a_date_that_is_none_is_refused(place, tmp_path, date, capsys):
    assert status(["run", place, "--date", date]) == 2
    assert f"--date {date}: not an ISO date such as" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_apscheduler_the_extra_is_named(place, project):
    """In a process whose imports find everything but APScheduler."""
    script = (
        "import importlib.util as u, sys\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'apscheduler' else find(name, *rest)\n"
        "from cluster.cli import status\nsys.exit(status(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, "schedule", place, "--cron", "0 3 * * *", "--once"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "install corpusmill[schedule]" in done.stderr


def until(true: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert process.poll() is None, "the schedule ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_a_schedule_stopped_in_the_midst_of_a_run_ends_well_and_goes_on_where_it_was(
    tmp_path, project, tiny_model
):
    docs = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(good_rows(0, 300))})
    table, place = str(tmp_path / "out"), tmp_path / "nightly.yaml"
    place.write_text(config(tiny_model, vectors=vectors_phase(docs, table)))
    memory_in(table).settle(LAST - 2000 * DAY, 0)
    missed = NIGHTLY.last(datetime.now(UTC))
    command = [sys.executable, "-m", "cluster.cli", "schedule", str(place), "--cron", "0 3 * * *"]
    log = tmp_path / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(command, cwd=project, text=True, stdout=output, stderr=output) as process,
    ):
        receipts = Path(table, "_corpusmill", "runs")
        until(lambda: len(list(receipts.glob("*/receipts/*.json"))) > 1, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    said = log.read_text()
    assert f"{told(missed)}  exit 143  " in said
    assert "stopped; " in said
    assert "Traceback" not in said
    assert Table(table).version() == -1
    assert not Path(table, LEASES).exists()

    done = subprocess.run([*command, "--once"], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{told(missed)}  exit 0  " in done.stdout
    assert "units were finished before" in done.stderr
    assert set(run_folder(table).attempts().values()) <= {1, 2}
    assert ids_of(table) == [row["id"] for row in good_rows(0, 300)]


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_schedule_fires_by_itself_date_after_date_until_it_is_stopped(tmp_path, project, stop):
    script = (
        "import sys\nfrom datetime import UTC\nfrom zoneinfo import ZoneInfo\n"
        "from apscheduler.triggers.cron import CronTrigger\n"
        "from cluster import cli, cron, due, schedule\n"
        "import signal; signal.signal(signal.SIGTERM, cli._terminated)\n"
        "each_second = cron.Cron(ZoneInfo('UTC'), CronTrigger(second='*', timezone=UTC))\n"
        "run = [sys.executable, '-c', 'pass']\n"
        "memory = due.Memory(sys.argv[1], 'seconds')\n"
        "say = lambda line: print(line, flush=True)\n"
        "schedule.serve(schedule.Schedule(each_second, run, memory, say))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=project,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        ran = [line for line, _ in zip(runs_in(process.stdout), range(4), strict=False)]
        process.send_signal(stop)
        rest = process.stdout.read()
        assert process.wait(PATIENCE) == 0
    dates = [line.split()[0] for line in ran]
    assert dates == sorted(set(dates))
    assert all("  exit 0  " in line for line in ran)
    assert rest.endswith("goes on with the next start\n")
    assert Path(tmp_path, SCHEDULES, "seconds.json").exists()


def runs_in(output: Iterator[str]) -> Iterator[str]:
    return (line for line in output if "  exit " in line)
