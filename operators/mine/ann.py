"""Approximate search by faiss, one index a run of rows, and how much of the answer it finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from operators.errors import TableError
from operators.mine.choice import Ann
from operators.mine.dense import DenseIndex, DensePart, in_memory, queries_of
from operators.mine.groups import Atom, share
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
    """Part `part` of `of` of the index's runs, its vectors in memory under a faiss index a run.

    The runs are the same for any `of`, and each is built by one thread: so the same vectors and
    the same choice give the same hits. Parts beyond the number of runs hold nothing.
    """
    runs = _runs(index, choice.rows)
    own = [run for place, run in enumerate(runs) if place * of // len(runs) == part]
    exact = in_memory(index, tuple(atom for run in own for atom in run))
    blocks = exact.blocks()
    built = [_built(index, [next(blocks) for _ in run], choice) for run in own]
    firsts = [run[0].first_row for run in own]
    return AnnPart(exact, choice, tuple(zip(firsts, built, strict=True)))


@dataclass(frozen=True, eq=False)
class AnnPart:
    """Search by faiss indexes; what they find has the scores and the order of exact search."""

    exact: DensePart
    choice: Ann
    runs: tuple[tuple[int, Any], ...]
    """The first row of each run, and its faiss index, which numbers from 0."""

    def size(self) -> int:
        return self.exact.size()

    def search(self, asked: Asked, k: int) -> Hits:
        queries = queries_of(asked, self.exact.index.uri, self.exact.index.column)
        if not self.runs or not len(queries):
            return self.exact.search(asked, k)
        found = [self._found(first, built, queries, k) for first, built in self.runs]
        rows = np.concatenate(found, axis=1)
        query, place = np.nonzero(rows >= 0)
        scores = np.full(rows.shape, -np.inf, np.float32)
        scores[query, place] = self.exact.score(asked, query, rows[query, place])
        return by_id(ranked(scores, rows, rows.shape[1]), self.exact.documents, k)

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

    def _found(self, first: int, built: Any, queries: Matrix, k: int) -> Rows:
        """The rows that one index finds; -1 where fewer."""
        _, rows = built.search(queries, k, params=self._effort(built, k))
        return np.where(rows >= 0, rows + first, -1)

    def _effort(self, built: Any, k: int) -> Any:
        """How far faiss looks for one query: what the config says, or what k needs."""
        faiss = _faiss()
        if self.choice.kind == "hnsw":
            return faiss.SearchParametersHNSW(efSearch=max(self.choice.effort or 4 * k, k))
        return faiss.SearchParametersIVF(nprobe=self.choice.effort or -(-built.nlist // 8))


def recalls(approximate: Hits, exact: Hits) -> Scores:
    """Share of each query's exact hits that the approximate ones have; 1 where it has none."""
    found = overlap(approximate.rows, exact.rows, exact.rows.shape[1])
    return np.nan_to_num(found, nan=1.0).astype(np.float32)


def _runs(index: DenseIndex, rows: int) -> list[tuple[Atom, ...]]:
    """The index's atoms in runs of about so many rows."""
    count = -(-len(index) // rows)
    each = groupby(index.atoms, key=lambda atom: share(atom, len(index), count))
    return [tuple(atoms) for _, atoms in each]


def _built(index: DenseIndex, blocks: Sequence[Vectors], choice: Ann) -> Any:
    """The faiss index of a run's vectors, numbered from 0."""
    faiss = _faiss()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        made = _graph(index, choice) if choice.kind == "hnsw" else _cells(index, blocks, choice)
        for block in blocks:
            for start in range(0, len(block), _FED):
                made.add(_finite(index, block, np.arange(start, min(start + _FED, len(block)))))
    finally:
        faiss.omp_set_num_threads(threads)
    return made


def _graph(index: DenseIndex, choice: Ann) -> Any:
    faiss = _faiss()
    made = faiss.IndexHNSWFlat(index.dim, choice.links, faiss.METRIC_INNER_PRODUCT)
    made.hnsw.rng = faiss.RandomGenerator(choice.seed)
    return made


def _cells(index: DenseIndex, blocks: Sequence[Vectors], choice: Ann) -> Any:
    """An index of cells around means of some vectors, evenly chosen."""
    faiss = _faiss()
    rows, dim = sum(map(len, blocks)), index.dim
    cells = min(choice.lists or int(4 * rows**0.5), rows)
    made = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, cells, faiss.METRIC_INNER_PRODUCT)
    made.cp.seed = choice.seed
    made.cp.min_points_per_centroid = 1
    step = max(1, rows // (_TRAINED * cells))
    some = [_finite(index, block, np.arange(0, len(block), step)) for block in blocks]
    made.train(np.concatenate(some))
    return made


def _faiss() -> Any:
    """The library, whose stubs do not know what it adds to its classes."""
    import faiss

    return faiss


def _finite(index: DenseIndex, block: Vectors, rows: Rows) -> Matrix:
    vectors = block.take(rows)
    if not np.isfinite(vectors).all():
        problem = f"{index.column.field.name}: a stored vector is not finite"
        raise TableError(index.uri, problem)
    return vectors
