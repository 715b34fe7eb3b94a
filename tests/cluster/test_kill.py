"""A driver killed at any moment: the next run goes on, and the table is that of a calm run."""

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from cluster.execute import run_pipeline
from cluster.progress import Progress
from operators.storage.receipts import Receipt, RunFolder, runs
from operators.storage.table import Table
from tests.pipeline_builders import (
    built,
    config,
    good_rows,
    lineage_of,
    lines,
    rows_of,
    run_folder,
    same_columns,
    vectors_phase,
    write_files,
)

ROWS, UNIT = 400, 1200
MARK = "CORPUSMILL_TEST_MARK"
PATIENCE = 300.0
"""Seconds to wait for another process before the test gives up."""


def started(project: Path, config_file: Path, runner: str, mark: str) -> subprocess.Popen[bytes]:
    """The command in a process of its own, its children known by `mark` in their environment."""
    command = [sys.executable, "-m", "cluster.cli", "run", str(config_file), "--runner", runner]
    with (config_file.parent / "output.log").open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=project,
            stdout=output,
            stderr=output,
            env={**os.environ, MARK: mark},
        )


def receipts_of(table: str) -> dict[str, Receipt]:
    return RunFolder(table, runs(table)[0]).receipts() if runs(table) else {}


def written(table: str) -> int:
    """How many receipts there are, without reading them."""
    return sum(1 for _ in Path(table).glob("_corpusmill/runs/*/receipts/*.json"))


def kill_after(count: int, process: subprocess.Popen[bytes], table: str) -> None:
    """Kill the process -9 once `count` receipts are there."""
    deadline = time.monotonic() + PATIENCE
    while written(table) < count:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "no receipts come"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


def marked(mark: str) -> Iterator[int]:
    """The living processes that inherited the mark."""
    needle = f"{MARK}={mark}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if needle in (entry / "environ").read_bytes():
                yield int(entry.name)


@contextmanager
def leaving_nothing(mark: str, *, waits: bool = True) -> Iterator[None]:
    """Fail if processes with the mark outlive the block; end them by their ids all the same.

    Those of a Ray whose driver was killed take minutes to see it: without `waits` they are ended.
    """
    try:
        yield
        if not waits:
            return
        deadline = time.monotonic() + PATIENCE
        while list(marked(mark)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert list(marked(mark)) == []
    finally:
        for pid in marked(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_files(
        str(tmp_path_factory.mktemp("corpus")), {"a.jsonl": lines(good_rows(0, ROWS))}
    )


@pytest.fixture(scope="module")
def calm(tmp_path_factory, corpus, tiny_model, runner_called):
    """An undisturbed run's table."""
    table = str(tmp_path_factory.mktemp("calm") / "vectors")
    pipeline = built(tiny_model, vectors=phase(corpus, table))
    run_pipeline(pipeline, runner_called("local"), Progress(quiet=True))
    return table


def phase(corpus, table):
    return vectors_phase(corpus, table, read={"unit_bytes": UNIT})


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="asks /proc for processes")
@pytest.mark.parametrize(
    ("runner", "times"),
    [("local", 2), pytest.param("ray", 1, marks=[pytest.mark.ray, pytest.mark.long])],
)
def test_a_driver_killed_at_random_moments_loses_nothing_and_repeats_nothing(
    tmp_path, project, corpus, calm, tiny_model, runner, times
):
    table, config_file = str(tmp_path / "vectors"), tmp_path / "config.yaml"
    config_file.write_text(config(tiny_model, vectors=phase(corpus, table)))
    units = len(run_folder(calm).receipts())
    moments = sorted(random.Random(f"{runner} 7").sample(range(1, units * 3 // 5), times))
    finished: dict[str, Receipt] = {}
    begun: dict[str, int] = {}
    for moment in moments:
        mark = uuid.uuid4().hex
        with leaving_nothing(mark, waits=runner == "local" and moment == moments[-1]):
            process = started(project, config_file, runner, mark)
            kill_after(moment, process, table)
        assert Table(table).version() == -1
        now = receipts_of(table)
        assert finished.items() <= now.items()
        attempts = RunFolder(table, runs(table)[0]).attempts()
        assert {unit: attempts[unit] for unit in finished} == begun
        finished, begun = now, {unit: attempts[unit] for unit in now}

    mark = uuid.uuid4().hex
    with leaving_nothing(mark):
        assert started(project, config_file, runner, mark).wait() == 0, (
            tmp_path / "output.log"
        ).read_text()
    assert same_columns(rows_of(table), rows_of(calm), ["id", "content_hash", "codes", "scale"])
    assert len(rows_of(table)) == ROWS
    attempts = run_folder(table).attempts()
    assert {unit: attempts[unit] for unit in finished} == begun
    assert finished.items() <= run_folder(table).receipts().items()
    assert len(finished) < len(run_folder(table).receipts())
    assert lineage_of(table)["counts"]["rows_in"] == ROWS
