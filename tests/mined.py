"""A small random world to mine in: texts with copies, parents, scores with ties, judgments."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from operators.mine.case import Case
from operators.mine.draws import drawn_rows
from operators.mine.fuse import Fusion, Ranked, filled, fuse
from operators.mine.pool import DOCUMENTS, Asked, Pairs, Pool
from operators.mine.rules import Verdict, apply
from operators.mine.selection import Selection, select
from operators.text.hashes import content_hashes

NEUTRAL = -1.0
WORDS = ("a", "gull", "keeps", "over", "one", "salt", "rock", "until", "noon", "came")


@dataclass(frozen=True)
class World:
    """All queries and documents; `case` cuts a unit of some queries from it."""

    documents: pa.Table
    texts: tuple[str, ...]
    query_ids: np.ndarray
    query_texts: tuple[str, ...]
    scores: np.ndarray
    """(queries, documents); NaN for documents without a vector."""
    lexical: np.ndarray
    logits: np.ndarray
    grades: np.ndarray
    """1 for a positive, -1 neutral, 0 judged a fair negative, NaN not judged."""

    def case(self, numbers: Sequence[int], k: int = 8, fill: int = 3) -> Case:
        chosen = np.array(numbers, np.int64)
        ids = pa.array(self.query_ids[chosen], pa.string())
        hashes = content_hashes(pa.array([self.query_texts[number] for number in chosen]))
        scores, logits, grades = (
            matrix[chosen] for matrix in (self.scores, self.logits, self.grades)
        )
        ranked = [self.ranked(scores, k), self.ranked(self.lexical[chosen], k)]
        pool = fuse(ranked, self.documents, Fusion())
        pool = filled(pool, drawn_rows(ids, 0, len(self.documents), fill))
        pool = replace(pool, score=scores[pool.query, pool.document])
        query, document = np.nonzero(grades == 1)
        others = np.nonzero(~np.isnan(grades) & (grades != 1))
        return Case(
            Asked(ids, hashes),
            pool,
            positives=Pairs(query, document, scores[query, document]),
            judged=Pairs(*others, grades[others]),
            neutral=(NEUTRAL,),
            texts=lambda rows: [self.texts[row] for row in rows],
            teacher=lambda queries, rows: logits[queries, rows],
        )

    def ranked(self, scores: np.ndarray, k: int) -> Ranked:
        """The k best documents by id among equals; -1 where there are fewer."""
        by_id = np.argsort(np.argsort(np.asarray(self.documents["id"])))
        order = np.lexsort((np.broadcast_to(by_id, scores.shape), -scores), axis=1)[:, :k]
        best = np.take_along_axis(scores, order, axis=1)
        return Ranked(np.where(np.isnan(best), -1, order), best)


def world(seed: int, queries: int = 6, documents: int = 30) -> World:
    rng = np.random.default_rng(seed)
    texts = tuple(" ".join(rng.choice(WORDS, rng.integers(1, 7))) for _ in range(documents))
    asked = tuple(" ".join(rng.choice(WORDS, rng.integers(1, 3))) for _ in range(queries))
    ids = rng.permutation(documents)
    table = pa.table(
        [
            pa.array([f"d{number}" for number in ids]),
            content_hashes(pa.array(texts)),
            pa.array([None if number % 3 else f"p{number % 7}" for number in ids], pa.string()),
            pa.array([f"f{number % 2}" for number in ids]),
            pa.array(ids),
            pa.array([f"k{number % 3}" if number % 5 else None for number in ids], pa.string()),
        ],
        schema=DOCUMENTS,
    )
    scores = rng.integers(-4, 9, (queries, documents)).astype(np.float32) / 8
    scores[:, rng.random(documents) < 0.1] = np.nan
    logits = rng.normal(size=(queries, documents)).astype(np.float32)
    logits[rng.random(logits.shape) < 0.2] = np.nan
    kinds = np.array([1, NEUTRAL, 0, np.nan], np.float32)
    return World(
        table,
        texts,
        np.array([f"q{number}" for number in rng.permutation(queries)]),
        asked,
        scores,
        rng.integers(0, 5, (queries, documents)).astype(np.float32),
        logits,
        rng.choice(kinds, (queries, documents), p=[0.1, 0.05, 0.05, 0.8]),
    )


def mined(case: Case, rules: Sequence, selection: Selection) -> dict[str, list[str]]:
    """Ids of each query's negatives, nearest first."""
    left = case.pool.only(apply(rules, case).kept)
    return ids_of(
        left.only(select(left, case.asked.ids, selection, case.positives).kept), case.asked.ids
    )


def ids_of(pool: Pool, query_ids: pa.Array) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in query_ids.to_pylist()}
    names = pool.documents["id"].to_pylist()
    for query, document in zip(pool.query, pool.document, strict=True):
        found[query_ids[int(query)].as_py()].append(names[document])
    return found


def verdict_of(case: Case, *rules: object) -> Verdict:
    return apply(rules, case)


def pairs(*rows: tuple[int, int, float]) -> Pairs:
    query, document, score = zip(*rows, strict=True) if rows else ((), (), ())
    return Pairs(np.array(query, int), np.array(document, int), np.array(score, np.float32))


def table_of(
    texts: Sequence[str], parents: Sequence[str | None] = (), kinds: Sequence[str | None] = ()
) -> pa.Table:
    """Documents d0, d1, … with these texts."""
    rows = len(texts)
    return pa.table(
        [
            pa.array([f"d{row}" for row in range(rows)]),
            content_hashes(pa.array(list(texts), pa.string())),
            pa.array(list(parents) or [None] * rows, pa.string()),
            pa.array(["corpus"] * rows, pa.string()),
            pa.array(range(rows), pa.int64()),
            pa.array(list(kinds) or [None] * rows, pa.string()),
        ],
        schema=DOCUMENTS,
    )


def simple(
    scores: Sequence[Sequence[float]], positives: Pairs, texts: Sequence[str] = (), **more: object
) -> Case:
    """Every document is a candidate of every query, by (queries, documents) scores."""
    matrix = np.array(scores, np.float32)
    queries, documents = matrix.shape
    told = list(texts) or [f"text {row}" for row in range(documents)]
    order = np.argsort(-matrix, axis=1, kind="stable")
    ranked = Ranked(order, np.take_along_axis(matrix, order, axis=1))
    depth = Fusion(depth=more.pop("depth", 0))
    pool = fuse([ranked], more.pop("documents", None) or table_of(told), depth)
    hashes = content_hashes(pa.array([f"query {row}" for row in range(queries)]))
    asked = Asked(pa.array([f"q{row}" for row in range(queries)]), hashes)
    given = {"judged": pairs(), "texts": lambda rows: [told[row] for row in rows], **more}
    return Case(asked, pool, positives, **given)


def dropped(case: Case, rule: object) -> list[set[str]]:
    """Ids that the rule alone drops, a set for each query."""
    marks = rule.drops(case)
    gone = ids_of(case.pool.only(marks), case.asked.ids)
    return [set(gone[name]) for name in case.asked.ids.to_pylist()]
