"""A Ray of several nodes on this machine, in a process of its own.

`python -m tests.chaos.nodes`: tells its address as a line of JSON, then adds a node for each line
`{"labels": …, "num_cpus": …}` that it reads, and ends with its input.
"""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

Node = Mapping[str, Any]
"""What `ray start` is told of a node."""
NODES: tuple[Node, ...] = (
    {"num_cpus": 1, "labels": {"pool": "driver"}},
    {"num_cpus": 1, "num_gpus": 1, "labels": {"pool": "model"}},
    {"num_cpus": 1, "num_gpus": 1, "labels": {"pool": "model"}},
)
_SHARED = {
    "object_store_memory": 150 << 20,
    "include_dashboard": False,
    "node_ip_address": "127.0.0.2",
}
PROJECT = Path(__file__).parents[2]
_QUICK = {
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_worker_niceness": "0",
    "RAY_idle_worker_killing_time_threshold_ms": "600000",
}
"""A lost node or head is known in seconds, where the defaults take a minute and more; and no worker
ends because it waited for a second, since the next one would import everything again."""


@dataclass
class Nodes:
    """A running cluster: its address, and what its drivers need in their environment."""

    address: str
    environment: dict[str, str]
    _input: IO[str]
    _output: IO[str]

    def add(self, node: Node) -> None:
        """Start one more node and wait for it."""
        self._input.write(json.dumps(node) + "\n")
        self._input.flush()
        if not self._output.readline():
            raise RuntimeError("the cluster takes no node any more")


@contextmanager
def started(
    folder: Path, environment: Mapping[str, str], nodes: Sequence[Node] = NODES
) -> Iterator[Nodes]:
    """Start a cluster with a token of its own; what it says goes to `nodes.log` in `folder`."""
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    secure = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    every = {**os.environ, **environment, **secure, **_QUICK, "PYTHONPATH": str(PROJECT)}
    with (folder / "nodes.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.nodes"],
            cwd=PROJECT,
            env=every,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdin
        assert process.stdout
        try:
            cluster = Nodes("", every, process.stdin, process.stdout)
            for node in nodes:
                cluster.add(node)
            process.stdin.write("\n")
            process.stdin.flush()
            cluster.address = json.loads(process.stdout.readline())["address"]
            yield cluster
        finally:
            process.stdin.close()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


def main() -> None:
    """Serve the lines of the input."""
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster()
    for line in sys.stdin:
        if line.strip():
            cluster.add_node(**{**_SHARED, **json.loads(line)})
            answer = {"nodes": len(cluster.list_all_nodes())}
        else:
            answer = {"address": f"127.0.0.2:{cluster.address.rpartition(':')[2]}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    cluster.shutdown()


if __name__ == "__main__":
    main()
