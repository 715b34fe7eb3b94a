"""Approximate search by faiss, one index a part, and how much of the exact answer it finds."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from operators.errors import TableError
from operators.mine.choice import Ann
from operators.mine.dense import DenseIndex, DensePart, queries_of
from operators.mine.dense import open_part as open_exact
from operators.mine.pool import Asked, Places, Scores
from operators.mine.quality import overlap
from operators.mine.ties import by_id
from operators.mine.topk import Hits, ranked
from operators.quantize.kernels import Matrix, Rows, Vectors

_FED = 1 << 16
"""Vectors decoded at once while an index is built."""
_TRAINED = 64
"""Vectors for each cell from which its mean is learned."""


def open_part(index: DenseIndex, choice: Ann, part: int = 0, of: int = 1) -> "AnnPart":
    """Part `part` of `of` runs of the index's atoms, its vectors in memory under a faiss index.

    Built by one thread, so that the same vectors and the same choice give the same index.
    """
    exact = open_exact(index, part, of, resident=True)
    return AnnPart(exact, choice, _built(exact, choice))


@dataclass(frozen=True, eq=False)
class AnnPart:
    """Search by a faiss index; what it finds has the scores and the order of exact search."""

    exact: DensePart
    choice: Ann
    faiss: Any
    """None where the part has no row."""

    def size(self) -> int:
        return self.exact.size()

    def search(self, asked: Asked, k: int) -> Hits:
        queries = queries_of(asked, self.exact.index.uri, self.exact.index.column)
        if self.faiss is None or not len(queries):
            return self.exact.search(asked, k)
        _, rows = self.faiss.search(queries, k, params=self._effort(k))
        rows = np.where(rows >= 0, rows + self.exact.atoms[0].first_row, -1)
        query, place = np.nonzero(rows >= 0)
        scores = np.full(rows.shape, -np.inf, np.float32)
        scores[query, place] = self.exact.score(asked, query, rows[query, place])
        return by_id(ranked(scores, rows, k), self.exact.documents, k)

    def exactly(self, asked: Asked, k: int) -> Hits:
        """What an exact search finds, to measure against."""
        return self.exact.search(asked, k)

    def documents(self, rows: Rows) -> pa.Table:
        return self.exact.documents(rows)

    def locate(self, ids: pa.Array) -> Rows:
        return self.exact.locate(ids)

    def children(self, parents: pa.Array) -> tuple[Rows, Places]:
        return self.exact.children(parents)

    def score(self, asked: Asked, query: Places, rows: Rows) -> Scores:
        return self.exact.score(asked, query, rows)

    def _effort(self, k: int) -> Any:
        """How far faiss looks for one query: what the config says, or what k needs."""
        faiss = _faiss()
        if self.choice.kind == "hnsw":
            return faiss.SearchParametersHNSW(efSearch=max(self.choice.effort or 4 * k, k))
        return faiss.SearchParametersIVF(nprobe=self.choice.effort or -(-self.faiss.nlist // 8))


def recalls(approximate: Hits, exact: Hits) -> Scores:
    """Share of each query's exact hits that the approximate ones have; 1 where it has none."""
    found = overlap(approximate.rows, exact.rows, exact.rows.shape[1])
    return np.nan_to_num(found, nan=1.0).astype(np.float32)


def _built(exact: DensePart, choice: Ann) -> Any:
    """The faiss index of a part's vectors, numbered from 0; None for none."""
    if not exact.size():
        return None
    faiss = _faiss()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        made = _graph(exact, choice) if choice.kind == "hnsw" else _cells(exact, choice)
        for block in exact.blocks():
            for start in range(0, len(block), _FED):
                made.add(_finite(exact, block, np.arange(start, min(start + _FED, len(block)))))
    finally:
        faiss.omp_set_num_threads(threads)
    return made


def _graph(exact: DensePart, choice: Ann) -> Any:
    faiss = _faiss()
    made = faiss.IndexHNSWFlat(exact.index.dim, choice.links, faiss.METRIC_INNER_PRODUCT)
    made.hnsw.rng = faiss.RandomGenerator(choice.seed)
    return made


def _cells(exact: DensePart, choice: Ann) -> Any:
    """An index of cells around means of some vectors, evenly chosen."""
    faiss = _faiss()
    rows, dim = exact.size(), exact.index.dim
    cells = min(choice.lists or int(4 * rows**0.5), rows)
    made = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, cells, faiss.METRIC_INNER_PRODUCT)
    made.cp.seed = choice.seed
    made.cp.min_points_per_centroid = 1
    step = max(1, rows // (_TRAINED * cells))
    some = [_finite(exact, block, np.arange(0, len(block), step)) for block in exact.blocks()]
    made.train(np.concatenate(some))
    return made


def _faiss() -> Any:
    """The library, whose stubs do not know what it adds to its classes."""
    import faiss

    return faiss


def _finite(exact: DensePart, block: Vectors, rows: Rows) -> Matrix:
    vectors = block.take(rows)
    if not np.isfinite(vectors).all():
        problem = f"{exact.index.column.field.name}: a stored vector is not finite"
        raise TableError(exact.index.uri, problem)
    return vectors
