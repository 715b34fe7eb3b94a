"""What goes wrong while a table is brought up to date costs no row and publishes nothing half."""

import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from cluster.runner import I, R
from operators.errors import ConflictError, ContractError, CorpusmillError, SourceError
from operators.storage.table import Table
from operators.text.source import Unit
from pipelines.spec import Asked, Pipeline
from pipelines.work import Job, Outcome
from tests.pipeline_builders import (
    UNIT_BYTES,
    built,
    config,
    equal_tables,
    good_rows,
    ids_of,
    lineage_of,
    lines,
    packed_lines,
    quarantined,
    rows_of,
    vectors_phase,
    write_files,
)

GATE = {"max_deleted": 10**9, "max_bad_rows": 10**9, "sample": 0}


def run(pipeline: Pipeline, runner: LocalRunner | None = None) -> int:
    results = run_pipeline(pipeline, runner or LocalRunner(), Progress(quiet=True))
    return results[-1].version


def source(folder: Path) -> str:
    """Three files, one of them of several units, one with a row whose id comes twice."""
    files = {
        "a.jsonl": lines(good_rows(0, 60)),
        "b.jsonl": lines(good_rows(60, 70)),
        "c.jsonl": lines([*good_rows(3, 4), *good_rows(70, 80)]),
    }
    return write_files(f"{folder}/docs", files)


def edit(docs: str) -> None:
    """Rows change, come and go, and an id moves to a file before the one that had it."""
    edited = [{"id": "d0001", "text": "another text"}, *good_rows(4, 60), *good_rows(65, 66)]
    write_files(docs, {"a.jsonl": lines(edited)})
    (Path(docs) / "b.jsonl").write_bytes(lines(good_rows(60, 68)))


def at_write(project: Path, moment: int, config_file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.dying", str(moment), str(config_file)]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_killed_before_any_of_its_writes_and_run_again_the_table_is_that_of_a_calm_run(
    tmp_path, project, tiny_model
):
    docs, start = source(tmp_path), f"{tmp_path}/start"
    write_files(docs, {f"z{n}.jsonl": lines(good_rows(90 + n, 91 + n)) for n in range(6)})
    run(built(tiny_model, vectors=vectors_phase(docs, start, gate=GATE)))
    edit(docs)
    write_files(docs, {"z2.jsonl": lines([{"id": "d0092", "text": "else"}])})

    def copied(name: str) -> tuple[str, Path]:
        table, file = f"{tmp_path}/{name}", tmp_path / f"{name}.yaml"
        shutil.copytree(start, table)
        file.write_text(config(tiny_model, vectors=vectors_phase(docs, table, gate=GATE)))
        return table, file

    calm, config_file = copied("calm")
    ended = at_write(project, -1, config_file)
    assert ended.returncode == 0, ended.stderr
    writes = int(ended.stderr.split()[-1])
    assert lineage_of(calm)["changes"]["reused"] > 40
    assert lineage_of(calm)["changes"]["files_rewritten"] >= 1, "what shares a shard with z2"
    assert writes > 20
    moments = [writes // 2, writes - 3, writes - 2, writes - 1]
    for moment in moments:
        table, config_file = copied(f"killed-{moment}")
        assert at_write(project, moment, config_file).returncode == -9
        left = Table(table).version()
        assert left == 0 or moment == writes - 1, "only what follows the commit comes later"
        assert left == 1 or equal_tables(table, start)
        run(built(tiny_model, vectors=vectors_phase(docs, table, gate=GATE)))
        assert Table(table).version() == 1
        assert equal_tables(table, calm)
        assert lineage_of(table)["changes"] == lineage_of(calm)["changes"]
        shutil.rmtree(table)


@dataclass(frozen=True)
class Meanwhile(LocalRunner):
    """A local runner; something happens to the table once it has done its units."""

    happens: Callable[[], object] = lambda: None

    def run_units(self, job: Job, units: Sequence[Unit]) -> Generator[Outcome, None, None]:
        yield from super().run_units(job, units)
        self.happens()

    def parallel(self, work: Callable[[I], R], items: Sequence[I]) -> Iterable[R]:
        return map(work, items)


@dataclass(frozen=True)
class Passing(LocalRunner):
    """A local runner; one file lies in another's place until the first units are done."""

    there: Path = Path()
    instead: Path | None = None
    """What is found there meanwhile; None: nothing."""

    @contextmanager
    def started(self) -> Iterator[None]:
        self.there.rename(self._aside)
        if self.instead:
            self.instead.rename(self.there)
        yield

    def run_units(self, job: Job, units: Sequence[Unit]) -> Generator[Outcome, None, None]:
        self.put_back()
        yield from super().run_units(job, units)

    def put_back(self) -> None:
        if self._aside.exists():
            self._aside.replace(self.there)

    @property
    def _aside(self) -> Path:
        return self.there.parents[1] / "aside"


def test_a_file_that_cannot_be_had_for_a_moment_stops_the_run_and_costs_no_row(
    tmp_path, tiny_model
):
    docs, table = source(tmp_path), f"{tmp_path}/vectors"
    pipeline = built(tiny_model, vectors=vectors_phase(docs, table, gate=GATE))
    run(pipeline)
    write_files(docs, {"d.jsonl": lines(good_rows(90, 96))})
    gone = Passing(there=Path(docs, "d.jsonl"))
    with pytest.raises(SourceError, match=r"d\.jsonl: not found"):
        run(pipeline, gone)
    assert Table(table).version() == 0
    gone.put_back()
    run(pipeline)
    assert ids_of(table)[80:] == [row["id"] for row in good_rows(90, 96)]
    assert quarantined(table) == {("d0003", "duplicate id")}


def test_a_file_that_seems_damaged_for_a_moment_is_looked_at_again_by_the_next_run(
    tmp_path, tiny_model
):
    docs, table = source(tmp_path), f"{tmp_path}/vectors"
    pipeline = built(tiny_model, vectors=vectors_phase(docs, table, gate=GATE))
    run(pipeline)
    whole = packed_lines(good_rows(90, 96))
    write_files(docs, {"d.jsonl.gz": whole})
    harmed = tmp_path / "harmed"
    harmed.write_bytes(whole[:30] + bytes(len(whole) - 30))
    times = Path(docs, "d.jsonl.gz").stat()
    os.utime(harmed, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(CorpusmillError, match="not there when it was first read; run again"):
        run(pipeline, Passing(there=Path(docs, "d.jsonl.gz"), instead=harmed))
    assert Table(table).version() == 0
    run(pipeline)
    assert ids_of(table)[80:] == [row["id"] for row in good_rows(90, 96)]


def test_of_two_runs_at_once_the_later_one_conflicts_and_nothing_of_it_shows(tmp_path, tiny_model):
    docs, table = source(tmp_path), f"{tmp_path}/vectors"
    pipeline = built(tiny_model, vectors=vectors_phase(docs, table, gate=GATE))
    run(pipeline)
    edit(docs)

    def another_run() -> None:
        if Table(table).version() == 0:
            write_files(docs, {"d.jsonl": lines(good_rows(90, 95))})
            run(pipeline)

    with pytest.raises(ConflictError):
        run(pipeline, Meanwhile(happens=another_run))
    assert Table(table).version() == 1
    assert "d0094" in ids_of(table)
    assert run(pipeline) == 1


def test_a_table_deleted_while_its_run_works_is_an_error_and_no_table(tmp_path, tiny_model):
    docs, table = source(tmp_path), f"{tmp_path}/vectors"
    pipeline = built(tiny_model, vectors=vectors_phase(docs, table, gate=GATE))
    run(pipeline)
    edit(docs)
    gone = Meanwhile(happens=lambda: shutil.rmtree(table))
    with pytest.raises(CorpusmillError):
        run(pipeline, gone)
    assert Table(table).version() == -1
    shutil.rmtree(table, ignore_errors=True)
    assert run(pipeline) == 0


def test_a_renamed_column_stops_before_anything_is_written(tmp_path, tiny_model):
    docs, table = source(tmp_path), f"{tmp_path}/vectors"
    pipeline = built(tiny_model, vectors=vectors_phase(docs, table, gate=GATE))
    run(pipeline)
    before = sorted(Path(table).rglob("*"))
    renamed = [{"key": row["id"], "text": row["text"]} for row in good_rows(0, 60)]
    for name in ("a", "b", "c"):
        write_files(docs, {f"{name}.jsonl": lines(renamed)})
    with pytest.raises(ContractError, match="id"):
        run(pipeline)
    assert sorted(Path(table).rglob("*")) == before


def test_a_source_without_any_row_is_refused_and_the_version_stays(tmp_path, tiny_model):
    docs, table = source(tmp_path), f"{tmp_path}/vectors"
    pipeline = built(tiny_model, vectors=vectors_phase(docs, table, gate=GATE))
    run(pipeline)
    write_files(docs, {f"{name}.jsonl": b"" for name in ("a", "b", "c")})
    with pytest.raises(SourceError, match="it holds no rows"):
        run(pipeline)
    assert len(rows_of(table)) == 80


def test_ids_that_change_from_text_to_numbers_are_other_ids(tmp_path, tiny_model):
    docs, table = f"{tmp_path}/docs", f"{tmp_path}/vectors"
    write_files(docs, {"a.jsonl": lines([{"id": f"0{n}", "text": f"t {n}"} for n in range(8)])})
    pipeline = built(tiny_model, vectors=vectors_phase(docs, table, gate=GATE))
    run(pipeline)
    write_files(docs, {"a.jsonl": lines([{"id": n, "text": f"t {n}"} for n in range(8)])})
    run(pipeline)
    assert ids_of(table) == [str(n) for n in range(8)]
    change = lineage_of(table)["changes"]
    assert (change["added"], change["deleted"], change["reused"]) == (8, 8, 8)


def test_a_clock_that_runs_backwards_hides_no_change(tmp_path, tiny_model):
    docs, table = source(tmp_path), f"{tmp_path}/vectors"
    pipeline = built(tiny_model, vectors=vectors_phase(docs, table, gate=GATE))
    os.utime(f"{docs}/b.jsonl", (4e9, 4e9))
    run(pipeline)
    write_files(docs, {"b.jsonl": lines([*good_rows(60, 69), {"id": "d0069", "text": "later"}])})
    os.utime(f"{docs}/b.jsonl", (1e9, 1e9))
    run(pipeline)
    assert lineage_of(table)["changes"]["changed"] == 1


def test_a_row_that_cannot_be_read_back_is_not_skipped_the_next_time(tmp_path, tiny_model):
    docs, table = source(tmp_path), f"{tmp_path}/vectors"
    whole = (Path(docs) / "c.jsonl").read_bytes()
    packed = gzip.compress(whole, mtime=0)
    (Path(docs) / "c.jsonl").unlink()
    write_files(docs, {"c.jsonl.gz": packed[: len(packed) // 2]})
    lenient = {**GATE, "max_bad_units": 1}
    pipeline = built(
        tiny_model,
        vectors=vectors_phase(docs, table, read={"unit_bytes": UNIT_BYTES}, gate=lenient),
    )
    run(pipeline)
    short = len(rows_of(table))
    assert short < 80
    write_files(docs, {"d.jsonl": lines(good_rows(90, 91))})
    run(pipeline)
    assert len(rows_of(table)) == short + 1
    write_files(docs, {"c.jsonl.gz": packed})
    run(pipeline)
    assert len(rows_of(table)) == 81


def test_old_files_lost_from_the_store_are_named_and_nothing_is_published(tmp_path, tiny_model):
    docs, table = source(tmp_path), f"{tmp_path}/vectors"
    pipeline = built(tiny_model, vectors=vectors_phase(docs, table, gate=GATE))
    run(pipeline)
    edit(docs)
    lost = Table(table).files()[0]
    Path(lost.uri).unlink()
    with pytest.raises(CorpusmillError, match=r"\.parquet"):
        run(pipeline)
    assert Table(table).version() == 0
    again = Asked("all of it")
    (made,) = run_pipeline(pipeline, LocalRunner(), Progress(quiet=True), again)
    assert made.version == 1
    assert len(rows_of(table)) == 76
