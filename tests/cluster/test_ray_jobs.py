"""Jobs on a real Ray cluster with a token and TLS: submitted, told, repeated, stopped."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.authentication import check_cluster
from operators.errors import PreflightError
from operators.storage.lease import LEASES
from operators.storage.table import Table
from tests.certificates import issued
from tests.cluster.conftest import Cli
from tests.pipeline_builders import (
    config,
    good_rows,
    ids_of,
    lineage_of,
    lines,
    vectors_phase,
    write_files,
)
from tests.ray_heads import Head, clean, started

pytestmark = [pytest.mark.ray, pytest.mark.slow]
PATIENCE = 300.0
DATE = "2026-11-22T03:00Z"
SECRETS = (".env", "tls.pem", "nested/id_rsa")


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("token") / "token"
    path.write_text("0123456789abcdef" * 4)
    return path


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    from ray.util import get_node_ip_address

    return issued(tmp_path_factory.mktemp("tls"), ["127.0.0.1", get_node_ip_address()])


@pytest.fixture(scope="module")
def head(token: Path, tls: dict[str, str]) -> Iterator[Head]:
    with started({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), **tls}) as head:
        yield head


@pytest.fixture
def mill(head: Head, token: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Commands for the head's jobs."""
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", head.url)
    return cli


def embedding(folder: Path, model: Path, rows: int) -> str:
    """A config that embeds some rows into the table `out`."""
    docs = write_files(str(folder / "docs"), {"a.jsonl": lines(good_rows(0, rows))})
    phase = vectors_phase(docs, str(folder / "out"))
    (folder / "project").mkdir()
    (folder / "project" / "embed.yaml").write_text(config(model, vectors=phase))
    return str(folder / "project" / "embed.yaml")


def test_a_config_runs_on_the_cluster_once_a_date_and_no_secret_travels(
    mill, head, tmp_path, tiny_model
):
    place = embedding(tmp_path, tiny_model, 20)
    for name in SECRETS:
        path = tmp_path / "project" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("never-to-be-sent")
    (tmp_path / "project" / "nested" / "note.txt").write_text("a note")
    code, out, error = mill("submit", place, "--date", DATE, "--name", "first", "--follow")
    assert code == 0, out + error
    assert "job first-20261122T030000Z submitted\n" in out
    assert f"version 0 of {tmp_path / 'out'}: 20 rows" in out
    assert "job first-20261122T030000Z: done at 20" in error
    assert ids_of(str(tmp_path / "out")) == [row["id"] for row in good_rows(0, 20)]
    assert lineage_of(str(tmp_path / "out"))["date"] == "2026-11-22T03:00:00Z"

    code, out, _ = mill("submit", place, "--date", "2026-11-22T04:00+01:00", "--name", "first")
    assert code == 0
    assert out.startswith("job first-20261122T030000Z already submitted: done at 20")
    Path(place).write_text(Path(place).read_text() + "\n# mended\n")
    code, _, error = mill("submit", place, "--date", DATE, "--name", "first")
    assert code == 3
    assert "was submitted with another config or other options, and is done at" in error

    packages = head.folder.glob("r/session_2*/runtime_resources/working_dir_files/*")
    (package,) = (path for path in packages if (path / "nested" / "note.txt").exists())
    found = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    assert found == {"embed.yaml", "nested/note.txt"}


def test_a_run_that_fails_ends_with_its_own_code_and_may_be_submitted_again(
    mill, tmp_path, tiny_model
):
    place = embedding(tmp_path, tiny_model, 5)
    gone = ["submit", place, "--date", DATE, "--set", f"models.tiny.path={tmp_path}/gone"]
    code, out, error = mill(*gone, "--follow")
    assert code == 2, out + error
    assert f"error: model {tmp_path}/gone: no such folder" in out
    assert "job embed-20261122T030000Z: failed with exit 2 at " in error
    assert mill("logs", "embed-20261122T030000Z", "--follow")[0] == 2
    code, out, _ = mill("logs", "embed-20261122T030000Z")
    assert (code, "no such folder" in out) == (0, True)
    code, out, _ = mill("status", "embed-20261122T030000Z")
    assert code == 0
    assert "state:      failed\n" in out
    assert "exit code:  2\n" in out

    code, out, error = mill(*gone)
    assert code == 3
    assert "already submitted: failed with exit 2" in out
    assert "--again submits it once more" in error
    code, out, _ = mill(*gone, "--again")
    assert (code, out.partition("\n")[0]) == (0, "job embed-20261122T030000Z-2 submitted")
    code, out, _ = mill("stop", "embed-20261122T030000Z")
    assert (code, "was over: failed with exit 2" in out) == (0, True)


def test_whoever_follows_may_leave_and_a_scheduler_that_ends_them_ends_the_job(
    mill, token, head, tmp_path, tiny_model, project
):
    place = embedding(tmp_path, tiny_model, 6000)
    environment = clean({"RAY_AUTH_TOKEN_PATH": str(token), "RAY_API_SERVER_ADDRESS": head.url})
    command = [sys.executable, "-m", "cluster.cli"]

    def followed(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*command, *words, "--follow"],
            cwd=project,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    with followed("submit", place, "--name", "long", "--date", DATE) as first:
        until(lambda: leases(tmp_path), first)
        first.send_signal(signal.SIGINT)
        error = first.communicate(timeout=PATIENCE)[1]
    assert first.returncode == 130, error
    assert "job long-20261122T030000Z goes on; " in error
    assert "state:      running\n" in mill("status", "long-20261122T030000Z")[1]
    code, out, _ = mill("submit", place, "--name", "long", "--date", DATE, "--again")
    assert (code, "already submitted: running since" in out) == (0, True)

    with followed("logs", "long-20261122T030000Z") as second:
        assert second.stdout is not None
        assert any("phase vectors: planning" in line for line in second.stdout)
        second.send_signal(signal.SIGTERM)
        out, error = second.communicate(timeout=PATIENCE)
    assert second.returncode == 143, error
    assert "job long-20261122T030000Z is stopped" in error
    assert "exit code:  143\n" in mill("status", "long-20261122T030000Z")[1]
    assert (
        "terminated; run again to go on where it stopped"
        in mill("logs", "long-20261122T030000Z")[1]
    )
    assert leases(tmp_path) == []
    assert Table(str(tmp_path / "out")).version() == -1


def test_a_job_that_no_node_takes_is_taken_back(mill, head, token):
    from ray.job_submission import JobSubmissionClient

    headers = {"Authorization": f"Bearer {token.read_text()}"}
    client = JobSubmissionClient(head.url, headers=headers)
    client.submit_job(entrypoint="true", submission_id="stuck", entrypoint_resources={"nowhere": 1})
    assert "state:      waiting\n" in mill("status", "stuck")[1]
    code, out, error = mill("stop", "stuck")
    assert code == 0, error
    assert out.startswith("job stuck had not begun: it is taken back")
    code, _, error = mill("status", "stuck")
    assert code == 2
    assert "no job 'stuck' at" in error


def test_the_jobs_and_the_cluster_are_open_to_those_with_the_token_alone(
    mill, head, monkeypatch, project, token, tls
):
    script = (
        "import sys\nfrom cluster.settings import RaySettings, connected\n"
        "with connected(sys.argv[1], RaySettings()):\n"
        "    import ray\n    print(ray.cluster_resources()['CPU'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, head.address],
        cwd=project,
        env=clean({"RAY_AUTH_TOKEN_PATH": str(token), **tls}),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "4.0\n"), done.stderr
    for name, value in tls.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another")
    code, _, error = mill("status")
    assert code == 3
    assert "does not take the token" in error
    with pytest.raises(PreflightError, match="does not take the token"):
        check_cluster(head.address, allow_insecure=True)


def test_without_its_certificates_a_cluster_with_tls_does_not_answer(head, tls, monkeypatch):
    monkeypatch.delenv("RAY_USE_TLS", raising=False)
    with pytest.raises(PreflightError, match=r"no Ray cluster answers at .*RAY_USE_TLS=1"):
        check_cluster(head.address, allow_insecure=True)
    for name, value in {**tls, "RAY_TLS_CA_CERT": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(PreflightError, match="RAY_USE_TLS=1 needs the files"):
        check_cluster(head.address, allow_insecure=True)


def leases(folder: Path) -> list[Path]:
    return list((folder / "out").glob(f"{LEASES}/*"))


def until(true: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.05)
