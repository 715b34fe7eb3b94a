"""A simulation: 1, 2 and 3 nodes of one CPU with an encoder that only waits, on one machine.

`make bench-scale`, or `python -m benchmarks.scale --seconds 60`. Nothing is computed, so the cores
of this machine do not set the rate: what is measured is whether the pipeline keeps n encoders busy.
The rate counts from the first receipt to the last, so that starting is told apart.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._results import keep, table
from operators.storage.receipts import RUNS
from tests.chaos import nodes
from tests.pipeline_builders import good_rows, lines, write_files

ROWS = 12_000
"""About 70 units of 10 kB."""


def main() -> None:
    """Measure each number of nodes, several times in turn, and keep the best of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of waiting, over all workers")
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    measured: dict[int, list[tuple[float, float]]] = {1: [], 2: [], 3: []}
    with tempfile.TemporaryDirectory() as name:
        docs = write_files(f"{name}/docs", {"a.jsonl": lines(good_rows(0, ROWS))})
        for turn in range(arguments.repeats):
            for count, found in measured.items():
                place = Path(name) / f"{turn}-{count}"
                place.mkdir()
                found.append(_run(docs, place, count, arguments.seconds * 1000 / ROWS))
    command = (
        f"python -m benchmarks.scale --seconds {arguments.seconds:g} --repeats {arguments.repeats}"
    )
    keep("scale", command, _told(measured, arguments.seconds, command), {"measured": measured})


def _run(docs: str, place: Path, count: int, seconds: float) -> tuple[float, float]:
    """Units a second between the first receipt and the last, and the whole command's seconds."""
    head: nodes.Node = {"num_cpus": 2, "labels": {"pool": "driver"}}
    model: nodes.Node = {"num_cpus": 1, "labels": {"pool": "model"}}
    with nodes.started(place, {}, (head, *[model] * count)) as cluster:
        command = [sys.executable, "-m", "benchmarks._trivial", "sleep", docs, str(place)]
        command += [cluster.address, str(count), str(seconds)]
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=cluster.environment)
        whole = time.perf_counter() - began
    times = sorted(path.stat().st_mtime for path in place.glob(f"ours/{RUNS}/*/receipts/*.json"))
    return (len(times) - 1) / (times[-1] - times[0]), whole


def _told(
    measured: dict[int, list[tuple[float, float]]], seconds: float, command: str
) -> list[str]:
    rates = {count: max(rate for rate, _ in found) for count, found in measured.items()}
    wholes = {count: min(whole for _, whole in found) for count, found in measured.items()}
    rows = [
        [
            count,
            f"{rates[count]:.2f}",
            f"{rates[count] / (count * rates[1]):.3f}",
            f"{wholes[count]:.1f}",
            f"{seconds / count:.1f}",
        ]
        for count in measured
    ]
    head = ["nodes", "units/s", "efficiency", "whole command, s", "of it waiting, at best"]
    return [
        f"A simulation: encoders that wait {seconds:g} s in all and compute nothing, one on a node "
        "of one CPU; a head of two CPUs reads and writes. Best of each.",
        "",
        *table(head, rows),
        "",
        f"`{command}`",
    ]


if __name__ == "__main__":
    main()
