"""Ray heads of the tests' own: on loopback and free ports, ended by their process."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.conftest import free_ports

_PORTS = (
    *("port", "dashboard-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port"),
    *("metrics-export-port", "ray-client-server-port", "node-manager-port"),
    *("object-manager-port", "runtime-env-agent-port"),
)
_BIN = Path(sys.executable).parent
_PATIENCE = 120.0
_TRIES = 3
_PATIENT = {
    "RAY_agent_register_timeout_ms": "600000",
    "RAY_health_check_timeout_ms": "60000",
    "RAY_raylet_start_wait_time_s": "300",
    "RAY_worker_niceness": "0",
}
"""A head on a machine that is busy with other tests is slow, not dead."""


@dataclass(frozen=True)
class Head:
    """A cluster of one node."""

    url: str
    """Of its dashboard."""
    address: str
    """For drivers."""
    folder: Path
    """Where it keeps its sessions."""


@contextmanager
def started(environment: Mapping[str, str]) -> Iterator[Head]:
    """A head with only these of Ray's variables in its environment; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="mill-"))  # short, for the paths of its sockets
    process, ports = _up(folder, environment)
    try:
        yield Head(
            f"http://127.0.0.1:{ports['dashboard-port']}", f"127.0.0.1:{ports['port']}", folder
        )
    finally:
        _ended(process)
        shutil.rmtree(folder, ignore_errors=True)


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with no other of Ray's variables than these."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {**others, "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}", **environment}


def _chosen() -> list[int]:
    """Free ports; the client server refuses some that workers may take."""
    while True:
        ports = free_ports(len(_PORTS))
        if not 10002 <= ports[_PORTS.index("ray-client-server-port")] <= 19999:
            return ports


def _begun(
    folder: Path, ports: Mapping[str, int], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    command = [str(_BIN / "ray"), "start", "--head", "--block", "--disable-usage-stats"]
    command += [f"--{name}={port}" for name, port in ports.items()]
    command += ["--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", "--num-cpus=4"]
    command += ["--object-store-memory=268435456", f"--temp-dir={folder}/r"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=clean({**_PATIENT, **environment}),
        )


def _up(
    folder: Path, environment: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], dict[str, int]]:
    """A head that takes jobs, and its ports.

    A raylet gives its agent 15 s to start and dies otherwise, so a busy machine needs more tries.
    """
    for _ in range(_TRIES):
        ports = dict(zip(_PORTS, _chosen(), strict=True))
        process = _begun(folder, ports, environment)
        if _listens(ports["dashboard-port"], process) and _listens(
            ports["dashboard-agent-listen-port"], process
        ):
            return process, ports
        _ended(process)
    raise RuntimeError(f"the head does not start: {(folder / 'log').read_text()}")


def _listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Whether the port is opened before the process ends, or the patience does."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return True
    return False


def _ended(process: subprocess.Popen[bytes]) -> None:
    """Terminate the head; whatever of it is left after a while is killed."""
    if process.poll() is not None:
        return
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    _, left = psutil.wait_procs(family, timeout=3)
    for each in left:
        each.kill()
    psutil.wait_procs(left, timeout=15)
    process.wait(15)
