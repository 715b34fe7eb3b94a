"""What a person reads while a phase runs."""

import os
import pty
import re
import subprocess
import sys
import termios
import threading
from contextlib import suppress
from dataclasses import replace

import pytest

from cluster.counting import Count
from cluster.progress import Progress
from operators.storage.receipts import Receipt
from operators.text.source import Source
from pipelines.plan import PhasePlan, plan_phase
from pipelines.spec import Phase, Write
from pipelines.work import Failure, Outcome, process_alone
from tests import corpora

ROWS: list[corpora.Row] = [(f"d{n}", f"text number {n}" if n % 20 else "") for n in range(100)]
EMPTY = Receipt("", (), "", 0, 0, 0, 0, {}, 0.0, 0.0, 0, {})


@pytest.fixture
def plan(tmp_path) -> PhasePlan:
    """Four units of real rows, some of them empty, one file of them damaged."""
    data = corpora.encode("parquet", ROWS)
    docs = corpora.put(str(tmp_path / "docs"), a__parquet=data, b__parquet=data[:-9])
    read = Source(uri=docs, unit_bytes=1200)
    return plan_phase(Phase("rows", read, (), Write(str(tmp_path / "out"))))


def outcomes(plan: PhasePlan) -> list[Outcome]:
    return [outcome for unit in plan.units for outcome in process_alone(plan.job, unit)]


def test_without_a_terminal_the_last_line_has_every_count(plan, capsys):
    with Progress().phase(plan, {}) as seen:
        for outcome in outcomes(plan):
            seen(outcome)
    units = len(plan.units)
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        rf"phase rows: {units}/{units} units, 95 rows, [\d,]+ rows/s, 5 quarantined, 1 failed", line
    )


def test_a_line_comes_every_interval_even_while_no_unit_ends(plan, capsys):
    with Progress(interval=0.001).phase(plan, {}):
        for _ in range(2000):
            if (said := capsys.readouterr().err).count("\n") > 1:
                break
            threading.Event().wait(0.01)
    assert said.startswith(
        f"phase rows: 0/{len(plan.units)} units, 0 rows, 0 rows/s, 0 quarantined"
    )


def test_a_phase_that_fails_stops_telling(plan, capsys):
    with pytest.raises(ValueError, match="boom"), Progress(interval=0.001).phase(plan, {}):
        raise ValueError("boom")
    capsys.readouterr()
    threading.Event().wait(0.05)
    assert capsys.readouterr().err == ""


def test_what_was_finished_before_is_said_and_not_counted_again(plan, capsys):
    done = [outcome for outcome in outcomes(plan) if isinstance(outcome, Receipt)][:2]
    with Progress().phase(plan, {receipt.unit: receipt for receipt in done}):
        pass
    first, last = capsys.readouterr().err.splitlines()
    units = len(plan.units)
    assert first == f"phase rows: 2 of {units} units were finished before"
    assert last.startswith(f"phase rows: 0/{units - 2} units, 0 rows")


def test_parts_of_a_unit_count_their_rows_and_the_unit_once():
    count = Count(2)
    for part in range(3):
        count.add(replace(EMPTY, unit=f"u.p{part:05d}", rows_out=10, tokens=40, truncated=1))
    assert (count.units, count.rows) == (0, 30)
    count.add(replace(EMPTY, unit="u", parts=3))
    count.add(Failure("v.p00001", "broken"))
    assert (count.units, count.rows, count.failed) == (1, 30, 1)
    assert "10.0% truncated" in count.sentence()
    assert "tokens/s" in count.sentence()


def test_the_time_left_is_told_between_the_second_unit_and_the_last():
    count = Count(3)
    told = []
    for number in range(3):
        count.add(replace(EMPTY, unit=f"u{number}"))
        told.append(" s left" in count.line())
    assert told == [False, True, False]


def test_quiet_says_nothing(plan, capsys):
    with Progress(quiet=True, interval=0.001).phase(plan, {}) as seen:
        for outcome in outcomes(plan):
            seen(outcome)
    assert capsys.readouterr().err == ""


def test_a_suspect_counts_once_it_ran_alone():
    count = Count(2)
    count.add(Failure("u", "begun too often", suspect=True))
    assert (count.units, count.failed) == (0, 0)
    count.add(replace(EMPTY, unit="u", rows_out=3))
    assert (count.units, count.failed, count.rows) == (1, 0, 3)


def test_lines_between_say_which_phase_of_how_many(plan, capsys):
    progress = Progress(interval=0.001)
    with progress.over(["first", "rows"]), progress.phase(plan, {}):
        for _ in range(2000):
            if (said := capsys.readouterr().err).count("\n") > 1:
                break
            threading.Event().wait(0.01)
    assert said.startswith(f"phase rows (2 of 2): 0/{len(plan.units)} units")


def test_who_watches_sees_the_beginning_every_outcome_and_the_end(plan):
    class Notes(list):
        def begins(self, stage):
            self.append((stage.phase, stage.run, stage.units, stage.waiting))

        def saw(self, stage, outcome):
            self.append(outcome.unit)

        def ends(self, stage):
            self.append("end")

    notes, found = Notes(), outcomes(plan)
    with (
        pytest.raises(ValueError, match="boom"),
        Progress(quiet=True, watchers=[notes]).phase(plan, {}) as seen,
    ):
        for outcome in found:
            seen(outcome)
        raise ValueError("boom")
    units = len(plan.units)
    assert notes == [("rows", plan.run, units, units), *(each.unit for each in found), "end"]


ON_TERMINAL = """
import sys
from cluster.cli import status
sys.exit(status(["run", sys.argv[1]]))
"""


def test_on_a_terminal_every_phase_has_a_line_from_the_start(tmp_path, project):
    docs = corpora.put(str(tmp_path / "docs"), a__jsonl=corpora.encode("jsonl", ROWS))
    gate = "gate: { max_bad_rows: 0.9 }"
    (tmp_path / "two.yaml").write_text(
        f"phases:\n"
        f"  first: {{ read: {{ uri: {docs} }}, write: {{ table: {tmp_path}/a, {gate} }} }}\n"
        f"  second: {{ read: {{ phase: first }}, write: {{ table: {tmp_path}/b, {gate} }} }}\n"
    )
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 200))
    running = subprocess.Popen(
        [sys.executable, "-c", ON_TERMINAL, str(tmp_path / "two.yaml")],
        cwd=project,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "200"},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    with suppress(OSError):  # the other end is closed
        while data := os.read(ours, 65536):
            said += data
    os.close(ours)
    assert running.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.decode()).replace("\r", "\n")
    frames = text.split("1/2 first")
    assert "2/2 second" in frames[1]
    assert "waiting" in frames[1].partition("2/2 second")[2]
    last = [line.strip() for line in ("1/2 first" + frames[-1]).splitlines() if line.strip()]
    assert re.fullmatch(rf"1/2 first .* 1/1 .* version 0 of {tmp_path}/a", last[0])
    assert re.fullmatch(rf"2/2 second .* 1/1 .* version 0 of {tmp_path}/b", last[1])
