"""A planted secret is in nothing that is said or stored."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cluster import logs
from cluster.execute import run_pipeline
from cluster.progress import Progress
from cluster.unit_log import UnitLog
from operators.storage import uri as store
from operators.text.source import Source
from pipelines.spec import Gate, Phase, Pipeline, Step, Write
from tests.conftest import ACCESS
from tests.leaky import NAME, Leaky
from tests.pipeline_builders import config, good_rows, lines, vectors_phase, write_files

HUB = "hf_" + "planted" * 5
WRONG = "wrong-and-never-shown"
SECRETS = (ACCESS[NAME], HUB, WRONG)


def leaks(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


def stored_texts(folder: str) -> Iterator[tuple[str, str]]:
    """All that lies under a folder, by name; Parquet files as their rows and metadata."""
    for name, _ in store.list_ages(folder, deep=True):
        data = store.read_bytes(store.join(folder, name))
        if name.endswith(".parquet"):
            file = pq.ParquetFile(io.BytesIO(data))
            yield name, f"{file.read().to_pylist()} {file.metadata.metadata} {file.schema}"
        else:
            yield name, data.decode(errors="replace")


@pytest.mark.s3
@pytest.mark.parametrize(
    ("name", "as_json"),
    [("local", True), pytest.param("ray", False, marks=pytest.mark.ray)],
    ids=["local, JSON", "ray, sentences"],
)
def test_what_errors_quote_is_told_and_stored_without_the_secret(
    name, as_json, place_on, runner_called, cli, capsys, monkeypatch
):
    base = place_on("s3")
    monkeypatch.setenv("HF_TOKEN", HUB)
    rows = good_rows(0, 40)
    rows[5] = {"id": "row", "text": "arsenic"}
    files = {"a.jsonl": lines(rows), "b.jsonl": lines([{"id": "unit", "text": "cyanide"}])}
    docs, table = write_files(base + "/docs", files), base + "/out"
    read = Source(uri=docs, unit_bytes=1500)
    gate = Gate(max_bad_rows=0.9, max_bad_units=5)
    step = Step(Leaky(row="arsenic", unit="cyanide"))
    pipeline = Pipeline((Phase("rows", read, (step,), Write(table, gate)),))
    logs.choose(as_json=as_json)
    try:
        watchers = [UnitLog()] if as_json else []
        run_pipeline(pipeline, runner_called(name), Progress(watchers=watchers))
    finally:
        logs.choose(as_json=False)
    said = capsys.readouterr()
    assert ("signed with ***" in said.err) == as_json
    assert leaks(said.out + said.err) == []
    texts = dict(stored_texts(table))
    for kind in ("_delta_log/", "_corpusmill/runs/", "_quarantine/", "data/"):
        assert any(path.startswith(kind) for path in texts)
    assert sum("signed with *** for s3://***@lake/docs" in text for text in texts.values()) >= 2
    assert {path: leaks(text) for path, text in texts.items() if leaks(text)} == {}
    for command in (["show"], ["show", "--json"], ["history"], ["files"]):
        code, out, err = cli("table", *command, table)
        assert code == 0
        assert leaks(out + err) == []


COMMANDS = """
import json, os, sys
from cluster import logs
from cluster.cli import status
for arguments in json.loads(sys.argv[1]):
    for asked in ("", "1"):
        os.environ[logs.VARIABLE] = asked
        assert status(arguments) == 1
"""


@pytest.mark.s3
def test_a_command_with_wrong_credentials_tells_neither_them_nor_any_other_secret(
    tmp_path, s3, tiny_model, project
):
    place = tmp_path / "vectors.yaml"
    place.write_text(config(tiny_model, vectors=vectors_phase(s3() + "/docs", s3() + "/out")))
    commands = [["run", str(place)], ["plan", str(place)], ["table", "show", s3()]]
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(commands)],
        cwd=project,
        env={**os.environ, NAME: WRONG, "HF_TOKEN": HUB},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.count("The request signature") >= 2 * len(commands)
    assert leaks(done.stdout + done.stderr) == []


def test_a_command_line_that_holds_a_secret_is_refused_whatever_it_asks(cli, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", HUB)
    for arguments in (
        ["table", "show", f"s3://key:{WRONG}@lake/out"],
        ["run", "x.yaml", "--set", f"models.m.path={HUB}"],
        ["export", "out", "--format", "pylate", "--out", f"s3://key:{WRONG}@lake/out"],
        ["erase", f"https://h/x?X-Amz-Signature={WRONG}"],
    ):
        code, out, err = cli(*arguments)
        assert code == 2
        assert err.startswith("error: the command line: ")
        assert err.endswith("; credentials come from the environment\n")
        assert leaks(out + err) == []


def test_no_file_of_the_project_holds_a_secret():
    from operators.redaction import secret_look_of

    root = Path(__file__).parents[2]
    folders = ("operators", "pipelines", "cluster", "configs")
    files = [path for name in folders for path in (root / name).rglob("*") if path.is_file()]
    texts = {p: p.read_text(errors="replace") for p in files if p.suffix in {".py", ".yaml", ".md"}}
    assert len(texts) > 100
    assert [str(path) for path, text in texts.items() if secret_look_of(text)] == []
