"""What the pipeline itself costs: short texts through an encoder that does as good as nothing.

`make bench-overhead`, or `python -m benchmarks.overhead --rows 200000`. Each way is a process of
its own, from its imports to its last byte, at the full number of rows and at a tenth: the slope is
the cost of a row, what is left is the cost of starting.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from benchmarks._results import keep, table

pc: Any = pyarrow.compute  # the stubs know no plain values as operands
WAYS = {
    "plain": "one plain Python process",
    "local": "corpusmill, local runner",
    "by-hand": "Ray Data by hand",
    "ray": "corpusmill, Ray runner",
}
SMALL = 10
"""The small input is this part of the large one."""


def main() -> None:
    """Time every way in turn, several times, and keep the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    data = Path(os.environ.get("CORPUSMILL_DATA", "../shared/data"))
    seconds: dict[str, list[list[float]]] = {way: [[], []] for way in WAYS}
    with tempfile.TemporaryDirectory() as name:
        sources = [
            _texts(data, Path(name), rows) for rows in (arguments.rows // SMALL, arguments.rows)
        ]
        for _ in range(arguments.repeats):
            for way in WAYS:
                for size, source in enumerate(sources):
                    seconds[way][size].append(_timed(way, source, Path(name) / "out"))
    command = f"python -m benchmarks.overhead --rows {arguments.rows} --repeats {arguments.repeats}"
    keep("overhead", command, _told(seconds, arguments.rows, command), {"seconds": seconds})


def _texts(data: Path, folder: Path, rows: int) -> str:
    """Titles of Debian packages, repeated under other ids."""
    packages = pq.read_table(next(data.glob("*ebian*/corpus.parquet")), columns=["id", "title"])
    packages = packages.filter(pc.not_equal(packages["title"], ""))
    times = rows // len(packages) + 1
    many = pa.concat_tables([_numbered(packages, n) for n in range(times)]).slice(0, rows)
    path = folder / f"{rows}.parquet"
    pq.write_table(many.combine_chunks(), path, row_group_size=20_000)
    return str(path)


def _numbered(packages: pa.Table, copy: int) -> pa.Table:
    ids = pc.binary_join_element_wise(packages["id"].cast(pa.string()), str(copy), "-")
    return pa.table({"id": ids, "text": packages["title"]})


def _timed(way: str, source: str, out: Path) -> float:
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "benchmarks._trivial", way, source, str(out)]
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def _told(seconds: dict[str, list[list[float]]], rows: int, command: str) -> list[str]:
    lines = []
    wholes = {way: median(large) for way, (_, large) in seconds.items()}
    for way, (small, large) in seconds.items():
        slope = (median(large) - median(small)) / (rows - rows // SMALL)
        start = median(small) - slope * rows / SMALL
        peer = wholes["plain" if way in {"plain", "local"} else "by-hand"]
        lines.append(
            [
                WAYS[way],
                f"{wholes[way]:.1f}",
                f"{start:.1f}",
                f"{slope * 1e6:.1f}",
                f"{rows / wholes[way]:,.0f}",
                f"{wholes[way] / peer:.2f}",
            ]
        )
    head = ["way", "seconds", "of it to start", "µs a row after", "rows/s", "time against its peer"]
    return [
        f"{rows:,} titles of Debian packages, encoder of eight bytes; medians of whole processes.",
        "",
        *table(head, lines),
        "",
        f"`{command}`",
    ]


if __name__ == "__main__":
    main()
