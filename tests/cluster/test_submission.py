"""What `submit` sends: its name, its command, and what it refuses before anything is sent."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cluster.ordering import Asking, Timing, ordered
from cluster.run_options import Options
from cluster.submission import Order, job_name
from operators.errors import ConfigError, PreflightError
from tests.pipeline_builders import good_rows, lines, write_files

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def config(tmp_path):
    return written(tmp_path, str(tmp_path / "out"))


def written(folder: Path, table: str) -> str:
    docs = write_files(str(folder / "docs"), {"a.jsonl": lines(good_rows(0, 3))})
    phase = {"read": {"uri": docs}, "write": {"table": table}}
    (folder / "nightly.yaml").write_text(json.dumps({"phases": {"rows": phase}}))
    return str(folder / "nightly.yaml")


def order_of(config: str, **fields: object) -> Order:
    return ordered(Asking(config), Options(**fields), Timing(date="2026-11-22T03:00+01:00"))


def test_a_job_is_named_by_its_pipeline_and_its_logical_date():
    assert job_name("nightly", "2026-11-22T03:00:00Z", ["run"], NOON) == "nightly-20261122T030000Z"
    assert job_name("a b/ü:", "2026-11-22T03:00:00Z", ["x"], NOON) == "a-b-ü-20261122T030000Z"


def test_without_a_date_a_job_is_named_by_its_moment_and_its_command():
    first = job_name("nightly", "", ["run", "a"], NOON)
    assert first.startswith("nightly-20261122T120000Z-")
    assert job_name("nightly", "", ["run", "a"], NOON) == first
    assert job_name("nightly", "", ["run", "b"], NOON) != first


def test_the_command_on_the_cluster_is_the_run_that_was_asked_for(config):
    order = order_of(
        config,
        changes=("phases.rows.read.limit=2",),
        limit=7,
        yes=True,
        rerun=True,
        refit=True,
        force="why not",
    )
    told, forced = list(order.command), order.command.index("--force-publish") + 1
    assert told.pop(forced).startswith("why not (submitted by ")
    assert told == [
        *("corpusmill", "run", "nightly.yaml", "--set", "phases.rows.read.limit=2"),
        *("--limit", "7", "--yes", "--rerun", "--refit", "--force-publish"),
        *("--date", "2026-11-22T02:00:00Z", "--runner", "ray", "--address", "auto"),
    ]
    assert order.name == "nightly-20261122T020000Z"


def test_the_command_line_takes_what_submit_makes_of_it(config):
    import typer.main

    from cluster.cli import app

    passed = {"no_progress": 99, "wait_for_nodes": 1200, "log_json": True, "ray_logs": True}
    asked = Options(("phases.rows.read.limit=2",), 7, True, True, "why not", **passed)
    insecure = Asking(config, allow_insecure=True)
    for timing, options in (
        (Timing(date="2026-11-22"), asked),
        (Timing(cron="0 3 * * *", zone="Europe/Paris"), Options(yes=True, **passed)),
    ):
        program, command, *words = ordered(insecure, options, timing).command
        context = typer.main.get_command(app).commands[command].make_context(command, words)
        assert program == "corpusmill"
        assert context.params["allow_insecure"] is True
        assert context.params["address"] == "auto"
        assert {name: context.params[name] for name in passed} == passed


def test_a_job_by_a_cron_runs_what_is_due_and_is_named_by_the_newest_date(config):
    order = ordered(Asking(config), Options(yes=True), Timing(cron="0 3 1 1 *", zone="UTC"))
    assert order.name == f"nightly-{datetime.now(UTC).year}0101T030000Z"
    assert order.command[1:3] == ["schedule", "nightly.yaml"]
    assert "--once" in order.command


@pytest.mark.parametrize(
    "options",
    [Options(limit=3), Options(rerun=True), Options(refit=True), Options(force="because")],
)
def test_a_job_by_a_cron_takes_no_option_of_a_single_run(config, options):
    with pytest.raises(ConfigError, match="leave out --"):
        ordered(Asking(config), options, Timing(cron="0 3 * * *"))


def test_the_digest_of_an_order_changes_with_its_config_and_its_options(config):
    order = order_of(config)
    digest = order.digest
    assert order_of(config).digest == digest
    assert order_of(config, limit=3).digest != digest
    assert replace(order, environment={"pip": ["x"]}).digest != digest
    Path(config).write_text(Path(config).read_text() + "\n# another\n")
    assert order_of(config).digest != digest


def test_a_job_has_a_minute_to_stop_unless_its_environment_says_otherwise(config):
    order = order_of(config)
    assert order.runtime()["env_vars"] == {"RAY_JOB_STOP_WAIT_TIME_S": "60"}
    chosen = {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "5", "A": "b"}, "excludes": ["*.bin"]}
    runtime = replace(order, environment=chosen).runtime()
    assert runtime["env_vars"] == chosen["env_vars"]
    assert {"*.bin", ".env"} <= set(runtime["excludes"])


@pytest.mark.parametrize("table", ["out/vectors", "./out", "vectors"])
def test_a_table_at_a_relative_path_is_refused_since_it_would_go_with_the_job(tmp_path, table, cli):
    code, _, error = cli("submit", written(tmp_path, table), "--address", NOBODY)
    assert code == 2
    assert f"phase rows, write: table {table} is a relative path" in error
    change = "phases.rows.write.table=s3://lake/rows"
    code, _, error = cli(
        "submit", str(tmp_path / "nightly.yaml"), "--address", NOBODY, "--set", change
    )
    assert code == 3
    assert "no Ray dashboard answers" in error


def test_every_mistake_of_the_config_is_told_before_anything_is_sent(config, cli):
    text = Path(config).read_text().replace('"uri"', '"urri"').replace('"table"', '"tabel"')
    Path(config).write_text(text)
    code, _, error = cli("submit", config, "--address", NOBODY)
    assert code == 2
    assert "urri" in error
    assert "tabel" in error


@pytest.mark.parametrize(
    ("options", "phrase"),
    [
        (["--date", "yesterday"], "--date yesterday: not an ISO date"),
        (["--force-publish", " "], "--force-publish: say why"),
        (["--set", "phases.rows.wirte=1"], "wirte"),
        (["--cron", "0 3 * *"], "4 fields"),
        (["--working-dir", "/nowhere"], "there is no such folder"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_sent(
    config, options, phrase, cli
):
    code, _, error = cli("submit", config, "--address", NOBODY, *options)
    assert code == 2
    assert phrase in error


@pytest.mark.parametrize("address", ["", "ray-head:8265", "auto", "ray://ray-head:10001"])
def test_an_address_that_is_no_url_is_refused(config, address, cli, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    code, _, error = cli("submit", config, "--address", address)
    assert code == 2
    assert "expected the URL of a Ray dashboard" in error


def test_a_secret_of_the_environment_is_never_sent(config, monkeypatch):
    from cluster.submission import submit

    monkeypatch.setenv("LAKE_PASSWORD", "correct-horse-battery-staple")
    order = order_of(config, force="since correct-horse-battery-staple")
    with pytest.raises(ConfigError) as caught:
        submit(None, order, again=False)
    assert "it holds a secret of the environment" in str(caught.value)
    assert "correct-horse-battery-staple" not in str(caught.value)


def test_status_of_a_cluster_that_is_not_there_is_one_sentence(cli):
    for command in (["status"], ["status", "x"], ["logs", "x"], ["stop", "x"]):
        code, _, error = cli(*command, "--address", NOBODY)
        assert code == PreflightError.exit_code
        assert error.count("\n") == 1
        assert f"no Ray dashboard answers at {NOBODY}" in error
