"""The whole comparison: two tables, queries, four cells, every map, the curves, the advice."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from operators.adapt.compatibility import Quality, backfill, backfill_by_both, quality
from operators.arrays import whole
from operators.base import Resources
from operators.errors import TableError
from operators.mine.draws import keys
from operators.quantize.kernels import Matrix
from pipelines.compat.advice import Advice, advise
from pipelines.compat.candidates import Candidate, Task, candidates
from pipelines.compat.questions import Questions, asked, judged, titles
from pipelines.compat.split import Asked, split
from pipelines.compat.tables import Shared, Version, opened, shared

pc: Any = pyarrow.compute  # the stubs know no plain values as operands

SAMPLE = 20_000
_FEWEST_QUERIES, _FEWEST_DOCUMENTS = 5, 10
Say = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """What is compared, and with what."""

    old: str
    new: str
    old_version: int = -1
    new_version: int = -1
    queries: str = ""
    """File or BEIR folder of judged queries; with `qrels`. Without, the corpus' titles ask."""
    qrels: str = ""
    title: str = ""
    """Column of the source whose values ask; empty finds one."""
    sample: int = SAMPLE
    """Documents at most: what bounds the memory."""
    tolerance: float = 0.01
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Curve:
    """Quality by the share of the gallery that is embedded again."""

    name: str
    points: list[Quality]


@dataclass(frozen=True, eq=False)
class Comparison:
    """All that was measured."""

    wish: Wish
    old: Version
    new: Version
    task: Task
    questions: str
    unanswered: int
    """Judgments left out because their document is not in the sample."""
    cells: tuple[tuple[Quality | None, Quality | None], tuple[Quality | None, Quality | None]]
    """Row i, column j: queries by version i, gallery by version j; None: no common space."""
    candidates: list[Candidate]
    curves: list[Curve]
    advice: Advice

    @property
    def best(self) -> Candidate:
        """The candidate that the advice names."""
        return next(one for one in self.candidates if one.name == self.advice.best)


def compare(wish: Wish, say: Say, on: Resources | None = None) -> Comparison:
    """Measure; CorpusmillError in one sentence where the tables or the queries do not allow it."""
    old, new = opened(wish.old, wish.old_version), opened(wish.new, wish.new_version)
    questions = judged(wish.queries, wish.qrels) if wish.queries else None
    answers = whole(questions.qrels["doc_id"]) if questions else pa.array([], pa.string())
    say(f"looking for at most {wish.sample:,} documents that are in both tables")
    documents = shared(old, new, wish.sample, answers, wish.seed)
    questions = questions or titles(old, documents, wish.title)
    say(f"encoding {questions.told} with both models")
    queries, unanswered = _asked(old, new, documents, questions, on or Resources())
    task = Task(documents, queries, split(documents.ids, queries, wish.seed))
    _check(task, new)
    say("fitting maps and measuring")
    cells = _cells(task)
    found = list(candidates(task))
    ends = cells[0][0], cells[1][1]
    assert ends[0] is not None
    assert ends[1] is not None
    advice = advise(ends[0], ends[1], found, wish.tolerance)
    curves = _curves(task, found, wish.seed)
    return Comparison(
        wish, old, new, task, questions.told, unanswered, cells, found, curves, advice
    )


def _asked(
    old: Version, new: Version, documents: Shared, questions: Questions, on: Resources
) -> tuple[Asked, int]:
    """The queries that both models can encode and a sampled document answers; lost judgments."""
    there = pc.is_in(questions.qrels["doc_id"], documents.ids)
    qrels = questions.qrels.filter(there)
    texts = questions.texts.filter(pc.is_in(questions.texts["id"], whole(qrels["query_id"])))
    encoded = [asked(version, texts, on) for version in (old, new)]
    ids = encoded[0][0].filter(pc.is_in(encoded[0][0], encoded[1][0]))
    vectors = [_rows(found, matrix, ids) for found, matrix in encoded]
    qrels = qrels.filter(pc.is_in(qrels["query_id"], ids))
    lost = len(questions.qrels) - len(qrels)
    return Asked(ids, vectors[0], vectors[1], qrels), lost


def _rows(found: pa.Array, matrix: Matrix, ids: pa.Array) -> Matrix:
    rows: Matrix = matrix[np.asarray(pc.index_in(ids, found), np.int64)]
    return rows


def _check(task: Task, new: Version) -> None:
    queries, fitted = len(task.split.queries), len(task.split.fit_documents)
    if queries < _FEWEST_QUERIES or fitted < _FEWEST_DOCUMENTS:
        found = f"{len(task.documents):,} documents and {len(task.asked.ids):,} queries in common"
        needed = (
            f"leave {queries} queries to measure with and {fitted} documents to fit maps on; "
            f"at least {_FEWEST_QUERIES} and {_FEWEST_DOCUMENTS} are needed"
        )
        raise TableError(new.uri, f"{found} {needed}")


def _cells(
    task: Task,
) -> tuple[tuple[Quality | None, Quality | None], tuple[Quality | None, Quality | None]]:
    (old_queries, old), (new_queries, new) = task.old, task.new
    judgments = task.split.judged
    crossed: list[Quality | None] = [None, None]
    if task.one_dimension:
        crossed = [quality(old_queries, new, judgments), quality(new_queries, old, judgments)]
    return (
        (quality(old_queries, old, judgments), crossed[0]),
        (crossed[1], quality(new_queries, new, judgments)),
    )


def _curves(task: Task, found: list[Candidate], seed: int) -> list[Curve]:
    """With both models' queries, with new queries alone, and with old documents mapped."""
    (old_queries, old), (new_queries, new) = task.old, task.new
    judgments = task.split.judged
    places: Any = pa.array(task.split.documents, pa.int64())
    order = np.argsort(keys(task.documents.ids.take(places), seed, "backfill"), kind="stable")
    queries, galleries = (old_queries, new_queries), (old, new)
    both = backfill_by_both(queries, galleries, order, judgments)
    curves = [Curve("both models' queries, each in its part", both)]
    if task.one_dimension:
        name = "new queries, old documents as they are"
        curves.append(Curve(name, backfill(new_queries, old, new, order, judgments)))
    mapped = [one for one in found if one.side == "old documents"]
    best = max(mapped, key=lambda one: one.quality.mean)
    name = f"new queries, {best.name}"
    return [*curves, Curve(name, backfill(new_queries, best.gallery, new, order, judgments))]
