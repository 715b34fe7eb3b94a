"""The command line: every command on a small table, exit codes, clean stops."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator

from cluster.cli import status
from operators.storage.table import Table
from tests.pipeline_builders import (
    config,
    good_rows,
    ids_of,
    lines,
    rows_of,
    same_columns,
    vectors_phase,
    write_files,
)


@pytest.fixture
def made(tmp_path: Path, tiny_model: Path) -> str:
    """A table to change."""
    return two_versions(tmp_path, tiny_model)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> str:
    """A table to look at only."""
    return two_versions(tmp_path_factory.mktemp("standing"), tiny_model)


def two_versions(folder: Path, model: Path) -> str:
    """A table of 30 rows, then 40, beside its config."""
    docs, table = str(folder / "docs"), str(folder / "out")
    place = folder / "config.yaml"
    place.write_text(config(model, vectors=vectors_phase(docs, table)))
    write_files(docs, {"a.jsonl": lines(good_rows(0, 30))})
    assert status(["run", str(place)]) == 0
    write_files(docs, {"b.jsonl": lines(good_rows(30, 40))})
    assert status(["run", str(place)]) == 0
    return table


def test_the_version_is_told_and_is_the_one_that_commits_record(cli, standing):
    code, out, _ = cli("--version")
    assert (code, out) == (0, f"corpusmill {Table(standing).lineage()['code']}\n")


def test_a_run_tells_what_it_committed_and_a_second_that_nothing_changed(made, tmp_path, cli):
    place = str(tmp_path / "config.yaml")
    code, out, err = cli("run", place)
    assert (code, out) == (0, f"vectors: nothing changed; version 1 of {made} stays\n")
    assert "starting" not in err
    code, out, _ = cli("run", place, "--rerun")
    assert code == 0
    assert out.startswith(f"vectors: version 2 of {made}: 40 rows, ")
    assert " added, " not in out, "the ids of the last version were not read"


def test_a_run_can_be_limited_and_changed_for_once(tmp_path, tiny_model, cli):
    docs = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(good_rows(0, 30))})
    place, other = tmp_path / "config.yaml", str(tmp_path / "other")
    place.write_text(config(tiny_model, vectors=vectors_phase(docs, str(tmp_path / "out"))))
    change = f"phases.vectors.write.table={other}"
    assert cli("run", str(place), "--limit", "7", "--set", change)[0] == 0
    assert len(ids_of(other)) == 7
    assert not (tmp_path / "out").exists()


def test_a_codec_that_learned_from_few_rows_says_so_and_learns_anew_when_asked(
    tmp_path, tiny_model, cli
):
    docs = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(good_rows(0, 5))})
    place, codec = tmp_path / "config.yaml", {"scheme": "int8-dim"}
    phase = vectors_phase(docs, str(tmp_path / "out"), quantize=codec)
    place.write_text(config(tiny_model, vectors=phase))
    code, _, err = cli("run", str(place))
    assert code == 0
    assert "quantize learned from 5 rows only" in err
    assert "nothing changed" in cli("run", str(place), "--refit")[1]
    write_files(docs, {"b.jsonl": lines(good_rows(5, 300))})
    code, out, err = cli("run", str(place), "--refit")
    assert (code, "quantize learned from 300 rows\n" in err) == (0, True)
    assert out.startswith("vectors: version 1 of ")


def test_a_table_is_shown_in_words_and_as_json(standing, cli):
    code, out, _ = cli("table", "show", standing)
    assert code == 0
    assert f"{standing}, version 1: 40 rows in " in out
    assert "  codes            list<item: int8>  (dim 32, scheme int8)" in out
    assert "steps:             tokenize → encode → quantize" in out
    assert "rows read:         10; 30 stay as they were" in out
    assert "max_deleted 0, at most 15; sample 1, at least 0.999" in out
    code, out, _ = cli("table", "show", standing, "--version", "0", "--json")
    assert json.loads(out)["counts"]["rows_out"] == 30


def test_files_lists_what_other_readers_need(standing, cli):
    code, out, _ = cli("table", "files", standing)
    assert code == 0
    rows = sum(pq.read_metadata(path).num_rows for path in out.splitlines())
    assert rows == 40
    _, out, _ = cli("table", "files", standing, "--version", "0")
    assert sum(pq.read_metadata(path).num_rows for path in out.splitlines()) == 30


def test_history_has_a_line_for_each_version(standing, cli):
    code, out, _ = cli("table", "history", standing)
    newest, first = out.splitlines()
    assert code == 0
    assert newest.split()[0] == "1"
    assert "40 rows" in newest
    assert first.split()[0] == "0"
    assert "30 rows" in first


def test_verify_reads_everything_and_notices_a_changed_file(made, cli):
    code, out, _ = cli("table", "verify", made)
    assert code == 0
    assert "40 rows in" in out
    assert "rows encoded again: lowest cosine " in out
    victim = Table(made).files()[0].uri
    data = bytearray(Path(victim).read_bytes())
    data[60] ^= 0xFF
    Path(victim).write_bytes(data)
    code, _, err = cli("table", "verify", made)
    assert code == 1
    assert err.startswith(f"error: table {made}")


def test_rollback_brings_a_version_back_and_a_run_after_it_is_new(made, tmp_path, cli):
    before = rows_of(made, 0)
    code, out, _ = cli("table", "rollback", made, "0")
    assert (code, out) == (0, "version 2 holds what version 0 held\n")
    assert same_columns(rows_of(made), before, before.schema.names)
    code, out, _ = cli("run", str(tmp_path / "config.yaml"))
    assert code == 0
    assert "version 3" in out
    assert len(ids_of(made)) == 40


def test_vacuum_lists_and_with_delete_deletes_what_nobody_needs(made, cli):
    held = ids_of(made), ids_of(made, 0)
    code, out, _ = cli("table", "vacuum", made)
    *paths, told = out.splitlines()
    assert code == 0
    assert told == f"{len(paths)} files can go; --delete deletes them"
    assert all(Path(made, path).exists() for path in paths)
    code, out, _ = cli("table", "vacuum", made, "--delete")
    assert (code, out.splitlines()) == (0, [*paths, f"{len(paths)} files deleted"])
    assert not any(Path(made, path).exists() for path in paths)
    assert (ids_of(made), ids_of(made, 0)) == held
    assert cli("table", "vacuum", made)[1] == "0 files can go\n"


@pytest.mark.parametrize(
    ("arguments", "code", "phrase"),
    [
        (["table", "show", "{table}", "--version", "9"], 1, "it has no version 9; the newest is 1"),
        (["table", "files", "{table}x"], 1, "there is no table here"),
        (["table", "show", "{table}/../config.yaml"], 1, "it is a file; a table is a folder"),
        (["table", "rollback", "{table}", "1"], 1, "version 1 is the newest already"),
        (["table", "rollback", "{table}", "5"], 1, "it has no version 5; the newest is 1"),
        (["table", "rollback", "{table}"], 2, "Missing argument"),
        (["run", "nowhere.yaml"], 2, "nowhere.yaml: cannot be read"),
        (["run", "{config}", "--set", "phases.vectors.raed=1"], 2, "did you mean 'read'?"),
        (["run", "{config}", "--runner", "slurm"], 2, "--runner slurm: there are local and ray"),
        (["run", "{config}", "--limit", "-3"], 2, "limit"),
        (["run"], 2, "Missing argument"),
        (["rnu"], 2, "No such command"),
        (["operators", "encod"], 2, "no operator 'encod'; did you mean 'encode'?"),
    ],
)
def test_a_mistake_is_one_sentence_and_its_exit_code(standing, cli, arguments, code, phrase):
    places = {"table": standing, "config": str(Path(standing).parent / "config.yaml")}
    found, _, err = cli(*(argument.format(**places) for argument in arguments))
    assert found == code
    assert phrase in err
    assert "Traceback" not in err


def test_operators_and_schema_tell_what_a_config_may_say(cli):
    code, out, _ = cli("operators")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == sorted(
        line.split()[0] for line in out.splitlines()
    )
    code, out, _ = cli("operators", "encode")
    assert code == 0
    assert "precision: fp32 | bf16 | fp16 | int8, 'fp32' unless said" in out
    assert "strategy: {kind: …} | null, None unless said" in out
    assert "kind: gem: " in out
    assert "tokens: integer" in out
    code, out, _ = cli("schema")
    assert code == 0
    Draft202012Validator.check_schema(json.loads(out))


def test_a_plan_above_the_budget_needs_a_yes(tmp_path, tiny_model, cli, monkeypatch):
    docs = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(good_rows(0, 30))})
    place = tmp_path / "config.yaml"
    table = str(tmp_path / "out")
    budget = "budget: { price_per_hour: 1.0e+9, max_cost: 1 }\n"
    place.write_text(config(tiny_model, vectors=vectors_phase(docs, table)) + budget)
    with Path("/dev/null").open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        code, out, err = cli("run", str(place))
    assert (code, out) == (3, "")
    assert "more than budget.max_cost 1.00; run with --yes to go on all the same" in err
    assert not Path(table).exists()
    assert cli("run", str(place), "--yes")[0] == 0
    assert cli("run", str(place))[0] == 0, "nothing to do costs nothing"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stop", "code", "word"),
    [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")],
)
def test_a_run_that_is_stopped_ends_cleanly_and_the_next_goes_on(
    tmp_path, tiny_model, project, stop, code, word
):
    docs = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(good_rows(0, 400))})
    place, table = tmp_path / "config.yaml", str(tmp_path / "out")
    small = {"read": {"unit_bytes": 400}}
    place.write_text(config(tiny_model, vectors=vectors_phase(docs, table, **small)))
    done, err = stopped(
        [sys.executable, "-m", "cluster.cli", "run", str(place)], project, table, stop
    )
    assert done == code, err
    assert err.endswith(f"{word}; run again to go on where it stopped\n")
    assert "Traceback" not in err
    assert Table(table).version() == -1
    finished = receipts(table)
    assert finished
    changed = {path: path.stat().st_mtime_ns for path in finished}
    assert status(["run", str(place)]) == 0
    assert ids_of(table) == [str(row["id"]) for row in good_rows(0, 400)]
    assert {path: path.stat().st_mtime_ns for path in finished} == changed


@pytest.mark.ray
@pytest.mark.slow
def test_a_run_on_ray_that_is_terminated_ends_cleanly_too(tmp_path, tiny_model, project):
    docs = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(good_rows(0, 400))})
    place, table = tmp_path / "config.yaml", str(tmp_path / "out")
    small = {"read": {"unit_bytes": 400}}
    place.write_text(config(tiny_model, vectors=vectors_phase(docs, table, **small)))
    command = [sys.executable, "-m", "cluster.cli", "run", str(place), "--runner", "ray"]
    code, err = stopped(command, project, table, signal.SIGTERM)
    assert code == 143, err
    assert err.endswith("terminated; run again to go on where it stopped\n")
    assert {line.split(" ")[0] for line in err.splitlines()} == {"phase", "terminated;"}


def stopped(command: list[str], project: Path, table: str, stop: signal.Signals) -> tuple[int, str]:
    """Start a run, stop it once it has finished a unit; its status and what it said.

    A shell's background job ignores interrupts, and so would what it starts.
    """
    with subprocess.Popen(
        command,
        cwd=project,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        for _ in waiting():
            if receipts(table) or process.poll() is not None:
                break
        assert process.poll() is None, process.communicate()[1]
        process.send_signal(stop)
        _, err = process.communicate(timeout=120)
    return process.returncode, err


def receipts(table: str) -> list[Path]:
    return list(Path(table).glob("_corpusmill/runs/*/receipts/u*"))


def waiting() -> Iterator[None]:
    for _ in range(6000):
        time.sleep(0.02)
        yield
