"""Few queries over codes of words: every row decoded and multiplied, or sums of table entries.

`make bench-sums`, or `python -m benchmarks.sums --rows 200000`. Codes and words are drawn: only the
time is looked at, and that both ways give the same bits. They take turns in one process, and of
each the best is told: by the clock, and in processor time, which other work hardly moves.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks._results import keep, table
from cluster.settings import cores
from operators.mine.topk import Hits, topk
from operators.quantize.adc import AdditiveVectors, ProductVectors, TurnedVectors
from operators.quantize.kernels import Matrix, Rows, Vectors

DIM, WORDS, K = 384, 256, 10
BYTES = {"pq": 48, "opq": 48, "rvq": 8}
Took = tuple[float, float]
"""Seconds by the clock, and of processor time."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """The same vectors, of which a search knows nothing but their floats."""

    vectors: Vectors

    @property
    def dim(self) -> int:
        return self.vectors.dim

    def __len__(self) -> int:
        return len(self.vectors)

    def scores(self, queries: Matrix, start: int, stop: int) -> Matrix:
        return self.vectors.scores(queries, start, stop)

    def take(self, rows: Rows) -> Matrix:
        return self.vectors.take(rows)

    def asked(self, queries: Matrix) -> Matrix:
        return self.vectors.asked(queries)

    def values(self, start: int, stop: int) -> Matrix:
        return self.vectors.values(start, stop)


def main() -> None:
    """Time both ways in turn and keep the best of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(cores())
    queries = np.random.default_rng(1).standard_normal((32, DIM)).astype(np.float32)
    found = []
    for name, vectors in _kinds(options.rows):
        for count in (1, 8, 32):
            slow, fast = _both(vectors, queries[:count], options.repeats)
            ratios = [f"{a / b:.1f}" for a, b in zip(slow, fast, strict=True)]
            cells = [f"{1000 * seconds:.0f}" for seconds in (*slow, *fast)]
            found.append([f"{name}, {BYTES[name]} bytes", count, *cells, *ratios])
            print(found[-1], flush=True)
    head = ["codes", "queries", "decoded, ms", "processor", "table sums, ms", "processor"]
    lines = table([*head, "gain", "of processor time"], found)
    command = f"python -m benchmarks.sums {' '.join(sys.argv[1:])}".strip()
    title = f"{options.rows:,} rows of {DIM} dimensions, the {K} best"
    keep("sums", command, [title, "", *lines], {"rows": found})


def _kinds(rows: int) -> Iterator[tuple[str, Vectors]]:
    random = np.random.default_rng(0)
    turn = np.linalg.qr(random.standard_normal((DIM, DIM)))[0].astype(np.float32)
    for name, width in BYTES.items():
        codes = random.integers(0, WORDS, (rows, width)).astype(np.uint8)
        size = DIM if name == "rvq" else DIM // width
        words = random.standard_normal((width, WORDS, size)).astype(np.float32)
        if name == "rvq":
            yield name, AdditiveVectors(codes, words)
        else:
            held = ProductVectors(codes, words)
            yield name, held if name == "pq" else TurnedVectors(held, np.ascontiguousarray(turn))


def _both(vectors: Vectors, queries: Matrix, repeats: int) -> tuple[Took, Took]:
    """The best of each way; AssertionError where their answers differ by a bit."""
    took: list[list[Took]] = [[], []]
    for _ in range(repeats):
        answers: list[Hits] = []
        for way, block in enumerate((Decoded(vectors), vectors)):
            clock, spent = time.perf_counter(), time.process_time()
            answers.append(topk(queries, [block], K))
            took[way].append((time.perf_counter() - clock, time.process_time() - spent))
        assert np.array_equal(answers[0].scores, answers[1].scores)
        assert np.array_equal(answers[0].rows, answers[1].rows)
    slow, fast = ((min(a for a, _ in one), min(b for _, b in one)) for one in took)
    return slow, fast


if __name__ == "__main__":
    main()
