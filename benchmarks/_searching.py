"""One way to search in a process of its own: `python -m benchmarks._searching '{...}'`.

Prints one line of JSON: seconds, CPU seconds and peak resident bytes; writes the rows it found.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks._memory import peak_bytes
from benchmarks._peer_search import PeerSearch
from cluster.settings import cores

Found = npt.NDArray[Any] | None
Search = Callable[[], Found]
_WHILE = 1.0
"""Seconds for which a short search is repeated in one process."""
_QUERIES, _ROWS = 1024, 8192
"""What the products alone are blocked to."""


@dataclass(frozen=True)
class Asked:
    """What to search; plain values, as they travel in JSON."""

    way: str
    vectors: str
    """Folder with documents.npy, codes.npy, scales.npy, bits.npy and queries.npy."""
    queries: int
    k: int
    candidates: int = 40
    out: str = ""
    """Where the rows go, as .npy."""


@dataclass(frozen=True)
class Took:
    """Medians of the repeats in one process; bytes are of resident memory."""

    seconds: float
    cpu: float
    start: int
    peak: int


def main() -> None:
    """Prepare, search once for the libraries' own preparations, then time."""
    import torch

    asked = Asked(**json.loads(sys.argv[1]))
    torch.set_num_threads(cores())
    search = WAYS[asked.way](asked)
    start = peak_bytes()
    found = search()
    walls, times = zip(*_timed(search), strict=True)
    if found is not None:
        np.save(asked.out, found)
    took = Took(statistics.median(walls), statistics.median(times), start, peak_bytes())
    print(json.dumps(asdict(took)))


def _timed(search: Search) -> Iterator[tuple[float, float]]:
    until = time.perf_counter() + _WHILE
    while True:
        if isinstance(search, PeerSearch):
            yield search.inside()
        else:
            wall, cpu = time.perf_counter(), time.process_time()
            search()
            yield time.perf_counter() - wall, time.process_time() - cpu
        if time.perf_counter() > until:
            return


def _load(asked: Asked, name: str) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = np.load(Path(asked.vectors) / f"{name}.npy")
    return found


def _queries(asked: Asked) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(_load(asked, "queries")[: asked.queries])


def _ours(kind: str, *, kept: bool) -> Callable[[Asked], Search]:
    def prepared(asked: Asked) -> Search:
        from operators.mine.rough import Bounds
        from operators.mine.topk import topk

        queries, vectors = _queries(asked), _vectors(asked, kind)
        known = Bounds.unknown(len(vectors)) if kept else None
        return lambda: topk(queries, [vectors], asked.k, known=known).rows

    return prepared


def _rescored(asked: Asked) -> Search:
    from operators.mine.topk import two_stage

    queries = _queries(asked)
    bits, fine = _vectors(asked, "bits"), _vectors(asked, "int8")
    return lambda: two_stage(queries, [bits], [fine], asked.k, asked.candidates).rows


def _vectors(asked: Asked, kind: str) -> Any:
    from operators.quantize.kernels import BitVectors, FloatVectors, Int8Vectors

    if kind == "int8":
        return Int8Vectors(_load(asked, "codes"), _load(asked, "scales"))
    if kind == "bits":
        packed = _load(asked, "bits")
        dim = 8 * packed.shape[1]
        return BitVectors(packed, np.zeros(dim, np.float32), np.full(dim, dim**-0.5, np.float32))
    floats = _load(asked, "documents")
    if kind == "fp16":
        floats = floats.astype(np.float16).astype(np.float32)
    return FloatVectors(floats)


def _product_numpy(asked: Asked) -> Search:
    queries, documents = _queries(asked), _load(asked, "documents")
    room = np.empty((min(_QUERIES, len(queries)), _ROWS), np.float32)

    def search() -> None:
        for one, other in _blocks(len(queries), len(documents)):
            stored = documents[other]
            asking = queries[one]
            np.matmul(asking, stored.T, out=room[: len(asking), : len(stored)])

    return search


def _product_torch(kind: str) -> Callable[[Asked], Search]:
    def prepared(asked: Asked) -> Search:
        import torch

        dtype = getattr(torch, kind)
        queries, documents = (
            torch.from_numpy(each).to(dtype)
            for each in (_queries(asked), _load(asked, "documents"))
        )
        room = torch.empty(min(_QUERIES, len(queries)) * _ROWS, dtype=dtype)

        def search() -> None:
            for one, other in _blocks(len(queries), len(documents)):
                asking, stored = queries[one], documents[other]
                shape = len(asking), len(stored)
                torch.mm(asking, stored.T, out=room[: shape[0] * shape[1]].view(shape))

        return search

    return prepared


def _blocks(queries: int, documents: int) -> Iterator[tuple[slice, slice]]:
    for row in range(0, documents, _ROWS):
        for query in range(0, queries, _QUERIES):
            yield slice(query, query + _QUERIES), slice(row, row + _ROWS)


def _product_topk(asked: Asked) -> Search:
    """The whole product and torch's top-k, so many queries at once as make a quarter GiB."""
    import torch

    queries, documents = (
        torch.from_numpy(each) for each in (_queries(asked), _load(asked, "documents"))
    )
    step = max(1, (1 << 26) // len(documents))

    def search() -> Found:
        starts = range(0, len(queries), step)
        parts = [
            torch.topk(queries[start : start + step] @ documents.T, asked.k, dim=1).indices
            for start in starts
        ]
        rows: npt.NDArray[Any] = torch.cat(parts).numpy()
        return rows

    return search


def _faiss(kind: str) -> Callable[[Asked], Search]:
    def prepared(asked: Asked) -> Search:
        import faiss

        from benchmarks import _faiss as indexes

        faiss.omp_set_num_threads(cores())
        folder = Path(asked.vectors)
        if kind == "bits":
            index, queries = indexes.binary(folder), np.packbits(_queries(asked) > 0, axis=1)
        else:
            index = indexes.kept(folder, kind) if kind else indexes.flat(folder)
            queries = _queries(asked)
        return lambda: index.search(queries, asked.k)[1]

    return prepared


def _mined(*, faiss: bool) -> Callable[[Asked], Search]:
    def prepared(asked: Asked) -> Search:
        return PeerSearch(_queries(asked), _load(asked, "documents"), faiss)

    return prepared


WAYS: dict[str, Callable[[Asked], Search]] = {
    "ours": _ours("floats", kept=False),
    "ours-kept": _ours("floats", kept=True),
    "ours-fp16": _ours("fp16", kept=True),
    "ours-int8": _ours("int8", kept=True),
    "ours-bits": _ours("bits", kept=False),
    "ours-rescored": _rescored,
    "product-numpy": _product_numpy,
    "product-torch": _product_torch("float32"),
    "product-bf16": _product_torch("bfloat16"),
    "product-topk": _product_topk,
    "faiss": _faiss(""),
    "faiss-bits": _faiss("bits"),
    "faiss-ivf": _faiss("ivf"),
    "faiss-ivf-pq": _faiss("ivf-pq"),
    "faiss-pq": _faiss("pq"),
    "mined": _mined(faiss=False),
    "mined-faiss": _mined(faiss=True),
}


if __name__ == "__main__":
    main()
