"""The teach step against sentence-transformers' `CrossEncoder.predict`, in turn, on the same pairs.

`make bench-teach`, or `python -m benchmarks.teach --pairs 2000 --repeats 3`. Needs SciFact and
models/ce-minilm, as CORPUSMILL_DATA and the folder beside it have them.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from sentence_transformers import CrossEncoder

from benchmarks._results import keep, table
from cluster.settings import cores
from operators.base import Resources
from operators.encode.strategy import Engine, Precision
from operators.model import Model
from operators.teach.teach import Teach

DATA = Path(os.environ.get("CORPUSMILL_DATA", "../shared/data"))
NEGATIVES = 9
"""Other documents paired with a query, for each that is judged relevant."""

Way = Callable[[], np.ndarray]


@dataclass(frozen=True)
class Timing:
    """One way to score the pairs, over all repeats; against the first way."""

    name: str
    seconds: float
    pairs_per_second: float
    ratio: float
    largest_difference: float
    spearman: float


def main() -> None:
    """Run every way `--repeats` times in turn and print medians and ratios."""
    options = _options()
    torch.set_num_threads(cores())
    pairs = _pairs(options.pairs)
    with _ways(options.model, pairs) as ways:
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        logits = {}
        for _ in range(options.repeats):
            for name, way in ways.items():
                clock = time.perf_counter()
                logits[name] = way()
                seconds[name].append(time.perf_counter() - clock)
                print(f"{name}: {seconds[name][-1]:.1f} s", flush=True)
    _report(seconds, logits, options)


@contextmanager
def _ways(model: str, pairs: list[tuple[str, str]]) -> Iterator[dict[str, Way]]:
    """Each way with its model loaded; what is timed is from texts to logits."""
    peers = {
        name: CrossEncoder(
            model, device="cpu", local_files_only=True, model_kwargs={"dtype": dtype}
        )
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
    }
    queries, texts = zip(*pairs, strict=True)
    table = pa.table({"query": queries, "text": texts, "teacher": ["t"] * len(pairs)})

    def predict(precision: str) -> Way:
        identity = torch.nn.Identity()
        return lambda: peers[precision].predict(
            pairs, activation_fn=identity, show_progress_bar=False
        )

    with ExitStack() as stack:

        def teach(precision: Precision, backend: Engine = "torch") -> Way:
            step = Teach(Model(model), precision=precision, backend=backend, fingerprint="t")
            transform = stack.enter_context(step.open(Resources(device="cpu")))
            return lambda: transform(table)["logit"].to_numpy()

        yield {
            "CrossEncoder.predict, fp32 (batch 32, its default)": predict("fp32"),
            "corpusmill teach, fp32": teach("fp32"),
            "CrossEncoder.predict, bf16": predict("bf16"),
            "corpusmill teach, bf16": teach("bf16"),
            "corpusmill teach, OpenVINO fp32": teach("fp32", "openvino"),
            "corpusmill teach, OpenVINO bf16": teach("bf16", "openvino"),
            "corpusmill teach, OpenVINO int8": teach("int8", "openvino"),
        }


def _pairs(count: int) -> list[tuple[str, str]]:
    """The first of SciFact's judged pairs, shuffled among nine with other documents for each."""
    home = DATA / "scifact"
    docs = {row["_id"]: f"{row['title']} {row['text']}" for row in _rows(home / "corpus.jsonl")}
    queries = {row["_id"]: row["text"] for row in _rows(home / "queries.jsonl")}
    judged = [
        line.split("\t")[:2]
        for split in ("train", "test")
        for line in (home / "qrels" / f"{split}.tsv").read_text().splitlines()[1:]
    ]
    random = np.random.default_rng(0)
    names = sorted(docs)
    pairs = [(queries[query], docs[doc]) for query, doc in judged]
    for query, _ in judged:
        others = random.choice(len(names), NEGATIVES, replace=False)
        pairs += [(queries[query], docs[names[place]]) for place in others]
    order = random.permutation(len(pairs))
    return [pairs[place] for place in order[: count or None]]


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _report(
    seconds: dict[str, list[float]], logits: dict[str, np.ndarray], options: argparse.Namespace
) -> None:
    exact = next(iter(logits.values()))
    base = statistics.median(next(iter(seconds.values())))
    timings = []
    for name, took in seconds.items():
        median = statistics.median(took)
        far = float(np.abs(logits[name] - exact).max())
        near = spearman(logits[name], exact)
        timings.append(Timing(name, median, len(exact) / median, base / median, far, near))
    print(f"\n{len(exact)} pairs, medians of {options.repeats} runs in turn")
    head = ["way", "s", "pairs/s", "×", "largest logit difference", "Spearman"]
    lines = table(head, [_cells(timing) for timing in timings])
    if options.keep:
        facts = {"pairs": len(exact), "timings": [asdict(timing) for timing in timings]}
        keep("teach", f"python -m benchmarks.teach {' '.join(sys.argv[1:])}", lines, facts)
    else:
        print("\n".join(lines))


def _cells(found: Timing) -> list[str]:
    return [
        found.name,
        f"{found.seconds:.1f}",
        f"{found.pairs_per_second:.1f}",
        f"{found.ratio:.2f}",
        f"{found.largest_difference:.6f}",
        f"{found.spearman:.6f}",
    ]


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation; equal values share the mean of their ranks."""
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: np.ndarray = (ends - (counts - 1) / 2)[place]
    return ranks


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=2000, help="0 is all, about 12,600")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default=str(DATA.parent / "models" / "ce-minilm"))
    parser.add_argument("--keep", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
