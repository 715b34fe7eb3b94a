"""What a person reads while a phase runs."""

import re
import threading
from dataclasses import replace

import pytest

from cluster.progress import Count, Progress
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
