"""Exact search and search of codes against a plain product, faiss and `mine_hard_negatives`.

`make bench-search`, or `python -m benchmarks.search --repeats 5`.

Every measurement is a process of its own, the ways in turn. The vectors are those of Debian
packages, grown to each size by copies with noise; they are prepared, and what a library indexes
is indexed or trained, before the clock. One untimed search comes first. `--only-coded --rows 65536
--batches 1,128` measures the codes of one size alone.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._faiss import BYTES, PROBED, trained
from benchmarks._peer_search import DEPTH
from benchmarks._results import keep, table
from benchmarks._search_data import judged, prepared
from benchmarks._searching import Asked, Took

MB = 1 << 20
MINED = {
    "corpusmill": "ours",
    "corpusmill, rows asked before": "ours-kept",
    "mine_hard_negatives, its search": "mined",
    "mine_hard_negatives, faiss, its search": "mined-faiss",
    "torch product and top-k": "product-topk",
    "faiss IndexFlatIP": "faiss",
    "torch product alone, fp32": "product-torch",
    "numpy product alone, fp32": "product-numpy",
    "torch product alone, bf16": "product-bf16",
}
CODED = {
    "corpusmill, floats": "ours-kept",
    "corpusmill, fp16 values": "ours-fp16",
    "corpusmill, int8": "ours-int8",
    "corpusmill, bits": "ours-bits",
    "corpusmill, bits + int8 of 40": "ours-rescored",
    "faiss IndexFlatIP": "faiss",
    "faiss IndexBinaryFlat": "faiss-bits",
    f"faiss IndexPQFastScan, {BYTES} bytes": "faiss-pq",
    f"faiss IndexIVFFlat, 4√n lists, {PROBED} probed": "faiss-ivf",
    f"faiss IndexIVFPQ, {BYTES} bytes, 4√n lists, {PROBED} probed": "faiss-ivf-pq",
    "torch product alone, fp32": "product-torch",
}


@dataclass(frozen=True)
class Measured:
    """All repeats of one way."""

    name: str
    seconds: float
    best: float
    cpu: float
    """Medians over the repeats."""
    ratio: float
    """Its median over that of the first way."""
    start_mb: float
    peak_mb: float
    recall: float | None
    """Share of the exact ten best rows that are among its ten first."""


def main() -> None:
    """Prepare the vectors, then run every way `--repeats` times in turn."""
    options = _options()
    facts: dict[str, Any] = {}
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(options.cache or scratch).absolute()
        out = Path(scratch) / "out"
        out.mkdir()
        for ways, asked in _comparisons(cache, options):
            title = _title(asked)
            print(title, flush=True)
            found = _compared(ways, asked, out, options.repeats)
            facts[title] = [asdict(each) for each in found]
            lines += [title, "", *_table(found), ""]
        if not options.only_coded:
            facts["quality"] = judged(cache)
            lines += _quality(facts["quality"])
        facts["training"] = {rows: trained(prepared(cache, rows)) for rows in options.rows}
        lines += ["", *_training(facts["training"])]
    command = "python -m benchmarks.search " + " ".join(sys.argv[1:])
    keep("search_coded" if options.only_coded else "search", command, lines, facts)


def _comparisons(
    cache: Path, options: argparse.Namespace
) -> Iterator[tuple[Mapping[str, str], Asked]]:
    """Ways and what they are asked: first the peer's own case, then every size and batch."""
    few = str(prepared(cache, min(options.rows)))
    if not options.only_coded:
        yield MINED, Asked("ours", few, options.queries, DEPTH)
    for rows in options.rows:
        folder = prepared(cache, rows)
        trained(folder)
        for queries in options.batches:
            yield CODED, Asked("ours", str(folder), queries, 10)


def _title(asked: Asked) -> str:
    rows = len(np.load(Path(asked.vectors) / "bits.npy", mmap_mode="r"))
    return f"{rows:,} vectors, {asked.queries:,} queries at once, k = {asked.k}"


def _compared(ways: Mapping[str, str], asked: Asked, out: Path, repeats: int) -> list[Measured]:
    """Measure every way in turn."""
    runs: dict[str, list[Took]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            took = _measured(replace(asked, way=way, out=str(out / f"{way}.npy")))
            runs[name].append(took)
            print(f"  {name}: {took.seconds * 1e3:,.1f} ms, CPU {took.cpu * 1e3:,.1f}", flush=True)
    first, *_ = ways
    exact = np.load(out / f"{ways[first]}.npy")[:, :10]
    base = statistics.median(took.seconds for took in runs[first])
    found = [_summed(name, runs[name], base, out / f"{ways[name]}.npy", exact) for name in ways]
    for each in out.glob("*.npy"):
        each.unlink()
    return found


def _measured(asked: Asked) -> Took:
    """One measurement by a process of its own; the peer's progress bars are off."""
    command = [sys.executable, "-m", "benchmarks._searching", json.dumps(asdict(asked))]
    quiet = {**os.environ, "TQDM_DISABLE": "1"}
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=quiet)
    return Took(**json.loads(told.stdout.splitlines()[-1]))


def _summed(name: str, runs: list[Took], base: float, rows: Path, exact: Any) -> Measured:
    seconds = [took.seconds for took in runs]
    recall = None
    if rows.is_file():
        hit = (np.load(rows)[:, :10, None] == exact[:, None, :]).any(axis=1)
        recall = float(hit.mean())
    return Measured(
        name,
        statistics.median(seconds),
        min(seconds),
        statistics.median(took.cpu for took in runs),
        statistics.median(seconds) / base,
        statistics.median(took.start for took in runs) / MB,
        statistics.median(took.peak for took in runs) / MB,
        recall,
    )


def _table(found: list[Measured]) -> list[str]:
    head = ["way", "best ms", "median ms", "CPU ms", "×", "peak MB", "of it before", "recall@10"]
    rows = [
        [
            each.name,
            f"{each.best * 1e3:,.1f}",
            f"{each.seconds * 1e3:,.1f}",
            f"{each.cpu * 1e3:,.1f}",
            f"{each.ratio:.2f}",
            f"{each.peak_mb:,.0f}",
            f"{each.start_mb:,.0f}",
            "-" if each.recall is None else f"{each.recall:.4f}",
        ]
        for each in found
    ]
    return table(head, rows)


def _quality(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    names = list(found)
    rows = [
        [
            way,
            *(f"{found[name][way]['ndcg']:.4f} ({found[name][way]['kept']:.1%})" for name in names),
        ]
        for way in found[names[0]]
    ]
    return ["nDCG@10, and its share of the float search's", "", *table(["search", *names], rows)]


def _training(found: Mapping[int, Mapping[str, float]]) -> list[str]:
    """What the table leaves out: our ways are not trained, these are once a size."""
    rows = [
        [f"{rows:,}", *(f"{each:.1f}" for each in took.values())] for rows, took in found.items()
    ]
    kinds = next(iter(found.values()))
    head = ["vectors", *(f"faiss {kind}" for kind in kinds)]
    return ["seconds to train and to fill, before the clock", "", *table(head, rows)]


def _options() -> argparse.Namespace:
    def numbers(text: str) -> tuple[int, ...]:
        return tuple(map(int, text.split(",")))

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=numbers, default=(65_536, 1_048_576), help="by commas")
    parser.add_argument("--queries", type=int, default=5000)
    parser.add_argument("--batches", type=numbers, default=(1, 16, 128, 1000), help="by commas")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only-coded", action="store_true", help="not the miner, not the quality")
    parser.add_argument("--cache", default=os.environ.get("CORPUSMILL_BENCH_CACHE", ""))
    return parser.parse_args()


if __name__ == "__main__":
    main()
