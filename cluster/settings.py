"""How Ray is started and tuned: loopback and token by default, no silent starvation."""

import logging
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
from pydantic.dataclasses import dataclass
from ray.exceptions import AuthenticationError

from cluster.authentication import check_cluster
from cluster.quiet import quiet_start
from cluster.stalled import NO_PROGRESS_SECONDS, WAIT_FOR_NODES
from operators.base import STRICT, Resources
from operators.errors import PreflightError

_LEAST_CPUS = 4
"""Logical CPUs a local Ray declares at least; with two, its own read tasks starve (ENGINE §1)."""
_ours = threading.Event()
"""Set while the Ray that is used is one that `connected` has started."""


@dataclass(frozen=True, config=STRICT)
class RaySettings:
    """What a user may tune of Ray."""

    no_progress_seconds: int = NO_PROGRESS_SECONDS
    """A phase that finishes nothing for so long fails with the operators that wait."""
    scale_up_seconds: int = WAIT_FOR_NODES
    """A pool with a range waits for its least workers' nodes for so long."""
    object_store_bytes: int = 1 << 30
    """Of a local Ray; a cluster has its own."""
    allow_insecure: bool = False
    """Use a cluster that asks for no token."""
    logs: bool = False
    """Pass on what Ray and its workers log."""


@contextmanager
def connected(address: str, chosen: RaySettings) -> Iterator[None]:
    """Use the Ray that is there, or the cluster at `address`, or one of our own on loopback."""
    if ray.is_initialized():
        yield
        return
    terminated = signal.getsignal(signal.SIGTERM)
    level = logging.INFO if chosen.logs else logging.ERROR
    try:
        if address:
            check_cluster(address, allow_insecure=chosen.allow_insecure)
            with quiet_start(logs=chosen.logs):
                ray.init(address=address, log_to_driver=chosen.logs, logging_level=level)
        else:
            make_token()
            os.environ.setdefault("RAY_worker_niceness", "0")
            with quiet_start(logs=chosen.logs):
                ray.init(
                    address="local",
                    num_cpus=max(_LEAST_CPUS, cores()),
                    include_dashboard=False,
                    object_store_memory=chosen.object_store_bytes,
                    log_to_driver=chosen.logs,
                    logging_level=level,
                    _node_ip_address="127.0.0.1",
                )
            _ours.set()
    except (ConnectionError, RuntimeError, ValueError, AuthenticationError) as error:
        where = address or "this machine"
        raise PreflightError(f"no Ray cluster at {where}: {error}") from error
    except SystemExit as end:  # SIGTERM met Ray's handler, which is there while it starts
        raise SystemExit(143 if end.code == signal.SIGTERM else end.code) from end
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminated)  # Ray put its own there: a stack and exit 15
    try:
        yield
    finally:
        _ours.clear()
        ray.shutdown()


def may_grow() -> bool:
    """Whether nodes may join the Ray that is used: none joins one that `connected` has started."""
    return not _ours.is_set()


def configure_data(block_bytes: int, chosen: RaySettings) -> None:
    """Set Ray Data up for units: one row a block, our own progress, an end to silent waiting."""
    context = ray.data.DataContext.get_current()
    context.target_max_block_size = block_bytes
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = chosen.no_progress_seconds
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.INFO if chosen.logs else logging.ERROR)


def cores() -> int:
    """CPUs this process may use: affinity, and a cgroup's quota where there is one."""
    allowed = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return allowed
    return allowed if quota == "max" else max(1, min(allowed, int(quota) // int(period)))


def threads(on: Resources) -> int:
    """Compute threads of a worker on this node: as asked, else the cores its CPUs leave each."""
    side_by_side = min(on.most, max(1, int(cores() / on.cpus)))
    return on.threads or max(1, cores() // side_by_side)


def make_token() -> None:
    """Have the token that Ray asks of local clusters, readable by this user alone."""
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return
    path = Path.home() / ".ray" / "auth_token"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    path.chmod(0o600)
