"""Every kind of bad input: one clear sentence, the right exit code, nothing half-published."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.cli import status
from operators.storage.table import Table
from tests.bad_inputs import (
    BAD_BYTES,
    GOOD_FILE,
    GOOD_IDS,
    GOOD_LINES,
    MILLION,
    MORE_LINES,
    ROWS,
    SOURCES,
    parquet,
)
from tests.pipeline_builders import good_rows, ids_of, lines, quarantined
from tests.tiny_models import break_token, build_bert


@dataclass
class Job:
    """A config beside its source, run as the command line runs it."""

    folder: Path
    steps: list[dict[str, Any]] = field(default_factory=list)
    model: str = "no/model"
    output: str = ""

    @property
    def table(self) -> str:
        return self.output or str(self.folder / "out")

    def write(self, files: Mapping[str, bytes]) -> None:
        source = self.folder / "source"
        source.mkdir(exist_ok=True)
        for old in source.iterdir():
            old.unlink()
        for name, data in files.items():
            (source / name).write_bytes(data)

    def config(self, read: Mapping[str, Any], gate: Mapping[str, Any]) -> str:
        path = self.folder / "config.yaml"
        uri = {"uri": str(self.folder / "source" / read.get("uri", ""))}
        phase = {
            "read": {**read, **uri} if "://" not in read.get("uri", "") else read,
            "steps": self.steps,
            "write": {"table": self.table, "gate": dict(gate)},
        }
        models = {"tiny": {"path": self.model}}
        path.write_text(yaml.safe_dump({"models": models, "phases": {"rows": phase}}))
        return str(path)

    def run(self, read: Mapping[str, Any] = {}, gate: Mapping[str, Any] = {}) -> int:
        return status(["run", self.config(read, gate)])


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A run that copies rows to a table, whose version 0 holds the good rows."""
    job = Job(tmp_path)
    job.write({"a.jsonl": GOOD_LINES})
    assert job.run() == 0
    return job


@pytest.mark.parametrize("name", ROWS)
def test_a_bad_row_is_set_aside_with_its_reason_and_the_good_ones_are_published(job, name, capsys):
    row = ROWS[name]
    job.write({"a.jsonl": GOOD_LINES, "b.jsonl": row.line + lines(good_rows(12, 14))})
    assert job.run(gate={"max_bad_rows": 1}) == 0
    assert f"1 quarantined (1 × {row.reason})" in capsys.readouterr().out
    assert ids_of(job.table) == [*GOOD_IDS, "d0012", "d0013"]
    assert quarantined(job.table) == {(row.id, row.reason)}


def test_bytes_in_a_parquet_file_that_are_no_text_are_set_aside(job):
    job.write({"a.parquet": GOOD_FILE, "b.parquet": parquet(id=["x", "y"], text=BAD_BYTES)})
    assert job.run(gate={"max_bad_rows": 1}) == 0
    assert ids_of(job.table) == [*GOOD_IDS, "y"]
    assert quarantined(job.table) == {("x", "not UTF-8")}


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_that_cannot_be_used_leaves_the_table_as_it_was(job, name, capsys):
    source = SOURCES[name]
    job.write(source.files)
    assert job.run(source.read, source.gate) == source.code
    error = error_in(capsys)
    assert source.phrase in error
    assert Table(job.table).version() == 0
    assert ids_of(job.table) == GOOD_IDS


@pytest.mark.parametrize(
    "files",
    [
        {"a.parquet": GOOD_FILE, "broken.parquet": GOOD_FILE[:-7]},
        {"a.jsonl": GOOD_LINES, "broken.jsonl.gz": MORE_LINES[:-20]},
    ],
    ids=["parquet", "gzip"],
)
def test_a_gate_that_allows_a_damaged_file_publishes_the_others(job, files, capsys):
    job.write(files)
    assert job.run() == 4
    staged = len(list(Path(job.table, "data").rglob("*.parquet")))
    assert staged == 2, "the good rows of the refused run stay staged"
    assert job.run(gate={"max_bad_units": 1}) == 0
    assert "left out: " in capsys.readouterr().out
    assert ids_of(job.table) == GOOD_IDS
    assert len(list(Path(job.table, "data").rglob("*.parquet"))) == staged
    record = Table(job.table).lineage()
    assert record is not None
    (reason,) = record["counts"]["bad_units"].values()
    assert "broken." in reason


def test_every_bad_row_at_once_passes_a_model_unharmed(tmp_path, tiny_model):
    longest = b'{"id": "long", "text": "%s"}\n' % (b"a" * MILLION)
    bad = b"".join(row.line for row in ROWS.values())
    job = Job(tmp_path, encoding(), str(tiny_model))
    job.write({"a.jsonl": GOOD_LINES, "b.jsonl": bad + longest})
    assert job.run(gate={"max_bad_rows": len(ROWS), "norm": [0.99, 1.01]}) == 0
    assert ids_of(job.table) == [*GOOD_IDS, "long"]
    assert quarantined(job.table) == {(row.id, row.reason) for row in ROWS.values()}


def test_rows_for_which_a_model_gives_nan_are_set_aside(tmp_path):
    model = build_bert(tmp_path / "model")
    break_token(model, "z")
    job = Job(tmp_path, encoding(), str(model))
    job.write({"a.jsonl": GOOD_LINES + b'{"id": "nan", "text": "z"}\n'})
    assert job.run(gate={"max_bad_rows": 1}) == 0
    assert ids_of(job.table) == GOOD_IDS
    assert quarantined(job.table) == {("nan", "the model gave a vector that is not finite")}


def test_a_model_that_gives_nothing_but_nan_is_refused_when_it_is_opened(tmp_path, capsys):
    model = build_bert(tmp_path / "model")
    break_token(model, "[CLS]")
    job = Job(tmp_path, encoding(), str(model))
    job.write({"a.jsonl": GOOD_LINES})
    assert job.run() == 2
    assert f"model {model}: gives vectors that are not finite" in error_in(capsys)
    assert Table(job.table).version() == -1


def test_a_model_that_is_not_there_is_refused_before_anything_starts(tmp_path, capsys):
    job = Job(tmp_path, encoding(), str(tmp_path / "nowhere"))
    job.write({"a.jsonl": GOOD_LINES})
    assert job.run() == 2
    assert "nowhere" in error_in(capsys)
    assert not Path(job.table).exists()


def test_an_output_path_that_holds_something_else_is_left_alone(tmp_path, capsys):
    for name in ("file", "folder"):
        job = Job(tmp_path, output=str(tmp_path / name))
        job.write({"a.jsonl": GOOD_LINES})
        place = tmp_path / "file" if name == "file" else tmp_path / "folder" / "letters.txt"
        place.parent.mkdir(exist_ok=True)
        place.write_text("precious")
        for command in ("run", "plan"):
            assert status([command, job.config({}, {})]) == 1
            assert "output path that is not a table: " in error_in(capsys)
        assert place.read_text() == "precious"
        assert [path.name for path in place.parent.iterdir() if path.parent.name == "folder"] in (
            [],
            ["letters.txt"],
        )


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_store_that_nobody_knows_is_a_mistake_of_the_config(tmp_path, command, capsys):
    job = Job(tmp_path, output="s33://lake/table")
    job.write({"a.jsonl": GOOD_LINES})
    assert status([command, job.config({}, {})]) == 2
    assert error_in(capsys) == "error: s33://lake/table: Protocol not known: s33"
    assert status([command, Job(tmp_path).config({"uri": "s33://lake/docs"}, {})]) == 2
    assert error_in(capsys) == "error: s33://lake/docs/_delta_log: Protocol not known: s33"


@pytest.mark.s3
@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_bucket_that_is_missing_is_named(tmp_path, s3, command, capsys):
    job = Job(tmp_path, output="s3://no-such-bucket/table")
    job.write({"a.jsonl": GOOD_LINES})
    assert status([command, job.config({}, {})]) == 1
    said = error_in(capsys)
    assert "table s3://no-such-bucket/table: " in said
    job = Job(tmp_path)
    assert status([command, job.config({"uri": "s3://no-such-bucket/docs"}, {})]) == 1
    assert "source s3://no-such-bucket/docs: " in error_in(capsys)
    assert Table(job.table).version() == -1


@pytest.mark.s3
@pytest.mark.parametrize("side", ["source", "table"])
def test_wrong_credentials_are_one_sentence_without_the_secret(tmp_path, s3, side, project):
    remote = s3()
    job = Job(tmp_path, output=f"{remote}/table" if side == "table" else "")
    job.write({"a.jsonl": GOOD_LINES})
    config = job.config({"uri": f"{remote}/docs"} if side == "source" else {}, {})
    done = subprocess.run(
        [sys.executable, "-m", "cluster.cli", "run", config],
        env={**os.environ, "AWS_SECRET_ACCESS_KEY": "wrong-and-secret"},
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "credentials" in done.stderr
    assert remote in done.stderr
    assert "wrong-and-secret" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def encoding() -> list[dict[str, Any]]:
    return [{"tokenize": {"model": "tiny"}}, {"encode": {"model": "tiny"}}]


def error_in(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said on standard error, where no trace may be."""
    said = capsys.readouterr().err
    assert "Traceback" not in said
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, said
    return errors[0]
