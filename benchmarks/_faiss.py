"""The faiss indexes that searches are compared with: what must be trained is, before any clock.

A trained index is kept beside the vectors as faiss writes it, so that a process that is measured
only reads it, and its memory is that of the search.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from cluster.settings import cores

PROBED = 32
"""Lists that are looked through for a query."""
BYTES = 48
"""Of a coded vector: as many as its 384 dimensions have as bits."""
_ROWS_A_LIST = 40
"""Rows that a list is trained with; faiss asks for 39, so a million rows are 160,000."""
_ROWS_OF_CODES = 65_536
"""Rows that the codes are trained with: as many as faiss itself would draw."""
_SEED = 7

Vectors = npt.NDArray[np.float32]


def flat(folder: Path) -> Any:
    """Exact search of floats."""
    documents = np.load(folder / "documents.npy")
    index = faiss.IndexFlatIP(documents.shape[1])
    index.add(documents)
    return index


def binary(folder: Path) -> Any:
    """Exact search of bits by Hamming distance."""
    bits = np.load(folder / "bits.npy")
    index = faiss.IndexBinaryFlat(8 * bits.shape[1])
    index.add(bits)
    return index


def trained(folder: Path) -> dict[str, float]:
    """Seconds that each index of TRAINED took to train and to fill, now or when it was made."""
    faiss.omp_set_num_threads(cores())
    told = folder / "trained.json"
    seconds = json.loads(told.read_text(encoding="utf-8")) if told.is_file() else {}
    documents = None
    for kind in TRAINED:
        if kind in seconds:
            continue
        documents = np.load(folder / "documents.npy") if documents is None else documents
        clock = time.perf_counter()
        index = TRAINED[kind](documents)
        index.add(documents)
        seconds[kind] = time.perf_counter() - clock
        faiss.write_index(index, str(_place(folder, kind)))
        told.write_text(json.dumps(seconds), encoding="utf-8")
        print(f"faiss {kind}: trained and filled in {seconds[kind]:.0f} s", flush=True)
    return {kind: seconds[kind] for kind in TRAINED}


def kept(folder: Path, kind: str) -> Any:
    """A trained index, as `trained` left it."""
    index = faiss.read_index(str(_place(folder, kind)))
    if hasattr(index, "nprobe"):
        index.nprobe = PROBED
    return index


def _place(folder: Path, kind: str) -> Path:
    return folder / f"{kind}.faiss"


def _ivf(documents: Vectors) -> Any:
    index = faiss.IndexIVFFlat(*_quantizer(documents), faiss.METRIC_INNER_PRODUCT)
    index.train(_some(documents, _ROWS_A_LIST * index.nlist))
    return index


def _ivf_pq(documents: Vectors) -> Any:
    index = faiss.IndexIVFPQ(*_quantizer(documents), BYTES, 8, faiss.METRIC_INNER_PRODUCT)
    index.train(_some(documents, max(_ROWS_A_LIST * index.nlist, _ROWS_OF_CODES)))
    return index


def _pq(documents: Vectors) -> Any:
    width = documents.shape[1]
    index = faiss.IndexPQFastScan(width, 2 * BYTES, 4, faiss.METRIC_INNER_PRODUCT)
    index.train(_some(documents, _ROWS_OF_CODES))
    return index


def _quantizer(documents: Vectors) -> tuple[Any, int, int]:
    """What finds a row's list, the width of a row, and the number of lists: four times √rows."""
    rows, width = documents.shape
    return faiss.IndexFlatIP(width), width, round(4 * rows**0.5)


def _some(documents: Vectors, rows: int) -> Vectors:
    """That many rows at most, drawn with a seed."""
    if rows >= len(documents):
        return documents
    chosen = np.random.default_rng(_SEED).choice(len(documents), rows, replace=False)
    found: Vectors = documents[np.sort(chosen)]
    return found


TRAINED: dict[str, Callable[[Vectors], Any]] = {"ivf": _ivf, "ivf-pq": _ivf_pq, "pq": _pq}
