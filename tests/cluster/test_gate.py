"""A run's gate from the command line and on both runners: refusals, force, what is recorded."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from cluster.cli import status
from cluster.execute import Result, run_pipeline
from cluster.progress import Progress
from cluster.runner import Runner
from operators.errors import GateError
from operators.storage.receipts import RunFolder, runs
from operators.storage.table import Table
from pipelines.spec import Pipeline
from tests.gated import Site, checks
from tests.pipeline_builders import (
    built,
    config,
    good_rows,
    ids_of,
    lineage_of,
    lines,
    vectors_phase,
    write_files,
)
from tests.tiny_models import build_bert

LOCAL = pytest.param("local", "file", id="local-file")
LOCAL_S3 = pytest.param("local", "s3", marks=pytest.mark.s3, id="local-s3")
RAY_S3 = pytest.param("ray", "s3", marks=[pytest.mark.ray, pytest.mark.s3], id="ray-s3")
locally = pytest.mark.parametrize(("runner", "store"), [LOCAL, LOCAL_S3])
everywhere = pytest.mark.parametrize(("runner", "store"), [LOCAL, LOCAL_S3, RAY_S3])

DOCS = good_rows(0, 60)
NAMES = [str(row["id"]) for row in DOCS]
ASKED = [{"text": row["text"], "expected": [row["id"]]} for row in DOCS[::6]]
FLOATS = {"keep_embedding": True}
Cli = Callable[..., tuple[int, str, str]]


def run(pipeline: Pipeline, runner: Runner) -> Result:
    return run_pipeline(pipeline, runner, Progress(quiet=True))[-1]


def put(base: str, **parts: Sequence[Mapping[str, object]]) -> str:
    files = {f"{name}.jsonl": lines(rows) for name, rows in parts.items()}
    return write_files(f"{base}/docs", files)


def wanting(base: str, model: Path, **canaries: object) -> Pipeline:
    """Vectors whose canaries must each be the nearest to its own text."""
    asked = {"queries": f"{base}/canaries.jsonl", "k": 1, **canaries}
    gate = {"canaries": asked}
    described = vectors_phase(f"{base}/docs", f"{base}/vectors", gate=gate, quantize=FLOATS)
    return built(model, vectors=described)


@locally
def test_a_later_version_is_held_against_the_one_before(
    place_on, runner_called, tiny_model, runner, store
):
    base, using = place_on(store), runner_called(runner)
    table, pipeline = f"{base}/vectors", wanting(base, tiny_model)
    put(base, a=DOCS[:30], b=DOCS[30:50])
    write_files(base, {"canaries.jsonl": lines(ASKED)})
    run(pipeline, using)
    first = lineage_of(table)
    assert (first["canaries"]["recall"], first["canaries"]["asked"]) == (0.9, 10)
    assert "sample" not in checks(first), "everything was encoded just now"

    put(base, c=DOCS[50:])
    assert run(pipeline, using).version == 1
    second = lineage_of(table)
    assert second["canaries"]["recall"] == 1
    assert checks(second)["canaries"]["least"] == 0.88
    assert checks(second)["sample"]["found"] >= 0.999999


@everywhere
def test_what_the_canaries_refuse_is_published_without_encoding_again_when_they_may(
    place_on, runner_called, tiny_model, runner, store
):
    base, using = place_on(store), runner_called(runner)
    table, pipeline = f"{base}/vectors", wanting(base, tiny_model)
    put(base, a=DOCS[:30], b=DOCS[30:])
    write_files(base, {"canaries.jsonl": lines(ASKED)})
    run(pipeline, using)
    put(base, b=[row for row in DOCS[30:] if row["id"] != "d0036"])
    with pytest.raises(GateError, match=r"recall@1 0.9, less than") as refused:
        run(pipeline, using)
    assert refused.value.exit_code == 4
    assert ids_of(table) == NAMES
    (staged,) = set(runs(table)) - {lineage_of(table)["run_key"]}
    folder = RunFolder(table, staged)
    before, entry = folder.attempts(), folder.entry() or {}
    assert (entry["status"], entry["reasons"]) == ("refused", list(refused.value.reasons))

    assert run(wanting(base, tiny_model, tolerance=0.1), using).version == 1
    assert (lineage_of(table)["run_key"], folder.attempts()) == (staged, before)
    assert "reasons" not in (folder.entry() or {})
    assert ids_of(table) == [name for name in NAMES if name != "d0036"]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command in this process; its status, output and errors."""

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = status(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def site(tmp_path: Path, tiny_model: Path) -> Site:
    """Forty documents, and a config of their vectors."""
    made = Site(str(tmp_path), tiny_model)
    made.put(a=DOCS[:20], b=DOCS[20:40])
    configured(made)
    return made


def configured(site: Site, **gate: object) -> str:
    place = Path(site.base, "config.yaml")
    phase = vectors_phase(f"{site.base}/docs", site.table, gate=gate)
    place.write_text(config(site.model, vectors=phase))
    return str(place)


def test_a_source_that_shrank_is_refused_until_somebody_says_why_it_may(site, cli):
    place = configured(site)
    assert cli("run", place)[0] == 0
    site.put(a=DOCS[:2], b=[DOCS[2]])
    code, out, err = cli("run", place)
    assert (code, out) == (4, "")
    assert "37 of the last version's 40 rows are gone, more than max_deleted 0.5" in err
    assert Table(site.table).version() == 0

    for empty in ("", "  "):
        code, _, err = cli("run", place, "--force-publish", empty)
        assert (code, Table(site.table).version()) == (2, 0)
        assert "--force-publish: say why in a few words" in err

    code, out, err = cli("run", place, "--force-publish", "the archive moved away")
    assert code == 0
    assert f"version 1 of {site.table}: 3 rows" in out
    assert f"warning: version 1 of {site.table} was published although its gate refused it" in err
    assert "forced it: the archive moved away" in err
    assert ids_of(site.table) == NAMES[:3]
    forced = lineage_of(site.table)["forced"]
    assert "@" in forced["by"]
    assert forced["because"] == "the archive moved away"
    assert ["37 of the last" in reason for reason in forced["reasons"]] == [True]

    _, out, _ = cli("table", "show", site.table)
    assert "max_deleted 37, at most 20, overridden" in out
    assert f"forced:            by {forced['by']}: the archive moved away" in out
    _, out, _ = cli("table", "show", site.table, "--version", "0")
    assert "forced" not in out
    assert "max_bad_rows 0, at most 0.4" in out


def test_force_where_the_gate_has_nothing_against_it_leaves_no_trace(site, cli):
    code, _, err = cli("run", configured(site), "--force-publish", "to be sure")
    assert code == 0
    assert "warning" not in err
    assert "forced" not in lineage_of(site.table)


def test_a_version_without_a_row_cannot_be_forced(site, cli):
    place = configured(site)
    assert cli("run", place)[0] == 0
    site.put(a=[{"id": "a", "text": ""}], b=[{"id": "b", "text": ""}])
    code, _, err = cli("run", place, "--force-publish", "spring cleaning")
    assert code == 4
    assert "no row is left (not to be forced)" in err
    assert "more than max_bad_rows 0.01" in err
    assert "40 of the last version's 40 rows are gone" in err
    assert ids_of(site.table) == NAMES[:40]


@pytest.mark.parametrize(
    ("text", "code", "phrase"),
    [
        (None, 1, "canaries.jsonl: not found"),
        ("nonsense\n", 1, "canaries.jsonl: line 1 is no canary query: not valid JSON"),
    ],
)
def test_canaries_that_cannot_be_asked_stop_a_run_before_it_encodes(site, cli, text, code, phrase):
    queries = Path(site.base, "canaries.jsonl")
    if text is not None:
        queries.write_text(text)
    found, out, err = cli("run", configured(site, canaries={"queries": str(queries)}))
    assert (found, out) == (code, "")
    assert phrase in err
    assert not Path(site.table).exists()


def test_a_library_that_changed_in_secret_is_noticed_by_the_next_run(site, cli, tmp_path):
    """The table's vectors are another model's, and its commit says they are this one's."""
    site.claimed(build_bert(tmp_path / "other", seed=1))
    site.put(b=DOCS[20:50])
    code, _, err = cli("run", configured(site))
    assert code == 4
    assert "unchanged rows encoded again are not what is stored" in err
    assert ids_of(site.table) == NAMES[:40]
    assert cli("run", configured(site), "--rerun")[0] == 0
    assert ids_of(site.table) == NAMES[:50]
    assert cli("table", "verify", site.table)[0] == 0


def test_a_table_tells_the_recall_of_its_canaries(site, cli):
    queries = write_files(site.base, {"canaries.jsonl": lines(ASKED[:1])}) + "/canaries.jsonl"
    assert cli("run", configured(site, canaries={"queries": queries, "k": 40}))[0] == 0
    _, out, _ = cli("table", "show", site.table)
    assert "canaries:          recall@40 1 of 1 query" in out
    assert "canaries 1, at least 0" in out
