"""Each scheme applied to a sample, stored, decoded and searched: bytes, errors, ranking."""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial, reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from operators import columns
from operators.arrays import to_column, whole
from operators.base import Resources
from operators.errors import TableError
from operators.mine.dense import DenseIndex, describe
from operators.mine.groups import scored
from operators.mine.quality import Judgments, Ranking, judgments, ndcg, overlap
from operators.mine.topk import merge, topk
from operators.mine.ways import ways_of, without_vectors
from operators.quantize.artefact import SUFFIX, digest_of
from operators.quantize.codes import decoded, vectors_of
from operators.quantize.kernels import Matrix, Vectors
from operators.quantize.prefix import asked_of
from operators.quantize.quantize import Quantize
from operators.storage.table import Table
from pipelines.compat.questions import Questions, asked, judged
from pipelines.compat.tables import opened
from pipelines.compress.sample import Drawn, drawn
from pipelines.compress.schemes import asked_for
from pipelines.compress.sizes import held_bytes, stored_bytes
from pipelines.fit import SAMPLE_ROWS

pc: Any = pyarrow.compute  # the stubs know no plain values as operands

SAMPLE, ASKING = 20_000, 500
FLOAT = "as stored"
_FEWEST = 50
_SAVED = 0.01
"""Share of the stored bytes that a scheme saves at least to be worth a change."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """What is measured, on what, and how much may be lost."""

    uri: str
    version: int = -1
    schemes: str = ""
    queries: str = ""
    """File or BEIR folder of judged queries; with `qrels`. Without, rows of the table ask."""
    qrels: str = ""
    sample: int = SAMPLE
    k: int = 10
    loss: float = 0.01
    """Of nDCG@10 where there are judgments, of recall@k elsewhere."""
    seed: int = 0


@dataclass(frozen=True)
class Figures:
    """What one scheme comes to."""

    name: str
    bytes: float
    """Of a row in the Parquet file, ids aside."""
    artefact: int
    """Bytes of what was learned: it lies beside the table, once."""
    recall: float
    """Share of the k nearest by the vectors as stored that are among the k nearest by codes."""
    ndcg: float
    """Mean nDCG@10; NaN without judgments."""
    mse: float
    """Mean squared distance between a vector and what its code stands for, dimensions summed."""
    cosine: float
    """Mean cosine between the two."""
    lost: float = 0.0
    """What the tolerance is of, mean over the queries."""
    error: float = 0.0
    """Standard error of that."""
    coded: float = 0.0
    """Rows coded a second here, learning aside; 0 for the vectors as stored."""

    def whole(self, rows: int) -> float:
        """Bytes of a row and its share of what was learned, in a table of so many rows."""
        return self.bytes + self.artefact / rows


@dataclass(frozen=True, eq=False)
class Compressed:
    """All that was measured, and the advice."""

    wish: Wish
    index: DenseIndex
    rows: int
    """Rows that were searched."""
    of: int
    """Rows of the table."""
    learned: int
    """Rows that a scheme learned from, none of which it then coded."""
    queries: str
    asked: int
    figures: list[Figures]
    """The vectors as stored first, then the schemes as they were asked for."""
    best: str
    """The scheme of the fewest bytes that loses no more than it may; FLOAT where none does."""


@dataclass(frozen=True, eq=False)
class _Task:
    gallery: Matrix
    queries: Matrix
    judged: Judgments | None
    k: int

    def ranked(self, queries: Matrix, parts: list[Vectors]) -> Ranking:
        """Each part searched by itself: what was learned for it tells how queries are asked."""
        k, first, found = max(self.k, 10), 0, []
        for part in parts:
            found.append(topk(queries, [part], k, first))
            first += len(part)
        return reduce(partial(merge, k=k), found).rows


class _Part(NamedTuple):
    rows: pa.Table
    """Coded."""
    artefact: bytes
    seconds: float
    """Of the coding."""


def compress(wish: Wish, say: Say) -> Compressed:
    """Measure; CorpusmillError in one sentence where the table or the queries do not allow it."""
    if Table(wish.uri).version() < 0:
        raise TableError(wish.uri, "there is no table")
    schema = Table(wish.uri).schema(wish.version if wish.version >= 0 else None)
    if "dense" not in ways_of(schema):
        raise TableError(wish.uri, without_vectors(schema))
    if columns.LEXICAL_IDS in schema.names:
        say("its sparse vectors are left as they are: the vectors beside them are measured alone")
    index = describe(wish.uri, wish.version)
    steps = asked_for(wish.schemes, index.dim)
    for step in steps.values():
        step.bind(_schema(index.dim))
    questions = judged(wish.queries, wish.qrels) if wish.queries else None
    say(f"reading at most {wish.sample:,} vectors of {wish.uri}")
    answers = whole(questions.qrels["doc_id"]).to_pylist() if questions else []
    sample = drawn(index, wish.sample, map(str, answers), wish.seed)
    task, told = _judged(wish, sample, questions) if questions else _own(wish, sample)
    found = list(_measured(task, index, wish, steps, say))
    return Compressed(
        wish,
        index,
        len(task.gallery),
        sample.of,
        min(len(task.gallery) // 2, SAMPLE_ROWS),
        told,
        len(task.queries),
        found,
        best(found, wish.loss, sample.of),
    )


def best(figures: list[Figures], loss: float, rows: int) -> str:
    """The smallest of those that lose at most so much; FLOAT, the first, where none saves bytes."""
    most = (1 - _SAVED) * figures[0].whole(rows)
    fitting = [one for one in figures if one.lost <= loss and one.whole(rows) < most]
    return min(fitting, key=lambda one: one.whole(rows), default=figures[0]).name


def _judged(wish: Wish, sample: Drawn, questions: Questions) -> tuple[_Task, str]:
    version = opened(wish.uri, wish.version)
    there = pc.is_in(questions.qrels["doc_id"], sample.ids)
    qrels = questions.qrels.filter(there)
    texts = questions.texts.filter(pc.is_in(questions.texts["id"], whole(qrels["query_id"])))
    if not len(texts):
        raise TableError(wish.uri, f"none of the documents judged in {wish.qrels} is in its rows")
    ids, queries = asked(version, texts, Resources())
    found = judgments(qrels, ids, sample.ids)
    return _Task(sample.matrix, queries, found, wish.k), questions.told


def _own(wish: Wish, sample: Drawn) -> tuple[_Task, str]:
    """The first of the drawn rows ask for the others."""
    few = min(ASKING, len(sample) // 10)
    if few < _FEWEST // 10:
        problem = f"{len(sample)} rows are too few to measure with; {_FEWEST} are needed"
        raise TableError(wish.uri, problem)
    told = f"{few:,} rows of the table, which the others answer"
    return _Task(sample.matrix[few:], sample.matrix[:few], None, wish.k), told


def _measured(
    task: _Task, index: DenseIndex, wish: Wish, steps: dict[str, Quantize], say: Say
) -> Iterator[Figures]:
    table = pa.table([to_column(task.gallery)], schema=_schema(task.gallery.shape[1]))
    exact = task.ranked(task.queries, [vectors_of(table)])
    by_floats = None if task.judged is None else ndcg(exact, task.judged, 10)
    nothing = np.nan if by_floats is None else float(np.nanmean(by_floats))
    learned = len(index.column.artefact)
    yield Figures(FLOAT, held_bytes(index), learned, 1.0, nothing, 0.0, 1.0)
    for name, parts in _applied(wish, steps, table, say):
        column = parts[0].rows.schema.field(0)
        vectors = [scored(vectors_of(one.rows, column.name, one.artefact)) for one in parts]
        ranking = task.ranked(asked_of(column, task.queries), vectors)
        recall = overlap(ranking, exact, task.k)
        gained = None if task.judged is None else ndcg(ranking, task.judged, 10)
        lost = 1 - recall if gained is None or by_floats is None else by_floats - gained
        meant = np.vstack([decoded(one.rows, column.name, one.artefact) for one in parts])
        mse, cosine = _apart(task.gallery, meant)
        yield Figures(
            name,
            sum(stored_bytes(one.rows) * len(one.rows) for one in parts) / len(table),
            len(parts[0].artefact),
            float(recall.mean()),
            np.nan if gained is None else float(np.nanmean(gained)),
            mse,
            cosine,
            *_mean(lost),
            coded=len(table) / sum(one.seconds for one in parts),
        )


def _applied(
    wish: Wish, steps: dict[str, Quantize], table: pa.Table, say: Say
) -> Iterator[tuple[str, list[_Part]]]:
    """The rows coded by each scheme; one that nobody named is left out where it refuses them."""
    for name, step in steps.items():
        say(f"measuring {name}")
        try:
            parts = list(_parts(step, table))
        except TableError as error:
            if wish.schemes:
                raise
            say(f"{name} is left out: {error.problem}")
            continue
        yield name, parts


def _parts(step: Quantize, table: pa.Table) -> Iterator[_Part]:
    """The rows coded; what learns codes each half by what the other taught it.

    So its loss is that of rows it has never seen, as most rows of a table are.
    """
    if not step.learns:
        yield _coded(step, table, b"")
        return
    halves = table.slice(0, len(table) // 2), table.slice(len(table) // 2)
    for rows, others in (halves, halves[::-1]):
        yield _coded(step, rows, step.fit(others.slice(0, SAMPLE_ROWS)))


def _coded(step: Quantize, rows: pa.Table, artefact: bytes) -> _Part:
    """Rows through the operator as a pipeline runs it."""
    with tempfile.TemporaryDirectory() as folder:
        if artefact:
            place = Path(folder) / (digest_of(artefact) + SUFFIX)
            place.write_bytes(artefact)
            step = replace(step, artefact=str(place))
        with step.open() as transform:
            clock = time.perf_counter()
            found = transform(rows)
            return _Part(found, artefact, time.perf_counter() - clock)


def _apart(gallery: Matrix, meant: Matrix) -> tuple[float, float]:
    """Mean squared distance and cosine; dimensions that were cut off count as zero."""
    wide = np.zeros_like(gallery)
    wide[:, : meant.shape[1]] = meant
    apart = np.square(gallery - wide).sum(axis=1, dtype=np.float64)
    lengths = np.linalg.norm(gallery, axis=1) * np.linalg.norm(wide, axis=1)
    cosines = np.einsum("nd,nd->n", gallery, wide) / np.maximum(lengths, 1e-12)
    return float(apart.mean()), float(cosines.mean())


def _mean(lost: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Mean and its standard error over the queries that have one."""
    known = lost[np.isfinite(lost)]
    if not len(known):
        return 0.0, 0.0
    deviation = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    return float(known.mean()), deviation / float(np.sqrt(len(known)))


def _schema(dim: int) -> pa.Schema:
    return pa.schema([columns.embedding(dim)])
