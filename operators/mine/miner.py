"""The work on one unit of queries: search, judge, drop, select."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute

from operators.arrays import whole
from operators.base import Ask
from operators.contract import LEFT_OUT
from operators.errors import ConfigError
from operators.mine import audit, opening, unit
from operators.mine.ann import recalls
from operators.mine.case import Case
from operators.mine.choice import Ann
from operators.mine.draws import drawn_rows, keys
from operators.mine.fuse import Ranked, filled, fuse
from operators.mine.inbook import siblings
from operators.mine.index import Index
from operators.mine.looks import looked_up
from operators.mine.negatives import NEGATIVES, Found, assembled
from operators.mine.pool import Asked, Pairs, Places, Pool, Scores
from operators.mine.rules import Rule, apply
from operators.mine.selection import select
from operators.mine.sources import Dense
from operators.mine.texts import placed
from operators.mine.unit import Judged
from operators.teach.stored import StoredScores
from operators.text.fetch import fetch

if TYPE_CHECKING:
    from operators.mine.mine import Mine

pc: Any = pyarrow.compute  # the stubs do not know every function

_FILL = 4
"""Documents drawn at random for each negative wanted: some of them are positives or repeat."""
NO_POSITIVE = "no positive: none of the query's relevant documents is in the index"
NO_VECTOR = "no vector: a table of query vectors does not hold this query, or it is not finite"
NOT_JUDGED = f"{LEFT_OUT}, not judged"
TOO_FEW = f"{LEFT_OUT}, too few negatives"


@dataclass(frozen=True, eq=False)
class Miner:
    """Mines units of queries in opened indexes; the first one's rows number the documents."""

    mine: "Mine"
    ask: Ask
    indexes: tuple[Index, ...]
    qrels: pa.Table
    rules: tuple[Rule, ...]
    depth: int

    @classmethod
    def of(cls, mine: "Mine", ask: Ask) -> Self:
        """The miner of an operator whose indexes' parts are reached through `ask`."""
        qrels = mine.qrels.read_as(mine.judgments)
        relevant = qrels.filter(pc.greater_equal(qrels["relevance"], mine.qrels.relevant))
        counts = relevant.group_by("query_id").aggregate([("doc_id", "count")])["doc_id_count"]
        most = int(pc.max(counts).as_py() or 0)
        depth = mine.depth or mine.selection.depth(most)
        indexes = opening.indexes(mine, ask, depth)
        return cls(mine, ask, indexes, qrels, mine.asked_rules(), depth)

    def mined(self, table: pa.Table) -> pa.Table:
        """NEGATIVES and `error` of a unit's queries.

        An error says which queries are not judged, have no positive, no vector, or too few
        negatives.
        """
        are_judged = pc.is_in(table["id"], self.qrels["query_id"].combine_chunks())
        table, unjudged = unit.parted(table, are_judged, NOT_JUDGED)
        judged = unit.judged(self.mine.qrels, self.qrels, table, self.indexes[0])
        looked = [looked_up(source, table) for source in self.mine.tables]
        has_one = np.bincount(judged.query[judged.positive], minlength=len(table)) > 0
        sees = np.logical_and.reduce([has_one, *(each.found for each in looked)])
        _, none = unit.parted(table, has_one, NO_POSITIVE)
        _, blind = unit.parted(table, sees | ~has_one, NO_VECTOR)
        aside = [*unjudged, *none, *blind]
        if not sees.any():
            return unit.joined(NEGATIVES.empty_table(), aside)
        table = table.filter(pa.array(sees))
        asked = unit.asked(self.mine, table, [each.only(sees) for each in looked])
        found, few = self._found(asked, judged.only(sees), table)
        return unit.joined(found, [*aside, *few])

    def _found(
        self, asked: list[Asked], judged: Judged, table: pa.Table
    ) -> tuple[pa.Table, list[pa.Table]]:
        rows, pool = self._pool(asked, judged)
        case = self._case(asked[0], judged, table, (rows, pool))
        verdict = apply(self.rules, case)
        left = pool.only(verdict.kept)
        selected = select(left, asked[0].ids, self.mine.selection, case.positives)
        mined = audit.Mined(case, self.rules, self.mine.selection, verdict, selected)
        told = Found(
            asked=asked[0],
            places=table,
            pool=left.only(selected.kept),
            positives=case.positives,
            missing=np.bincount(judged.query[judged.missing], minlength=len(table)),
            rules=verdict.rules,
            dropped=verdict.counts(pool),
            recall=self._recall(asked),
            audit=audit.columns(mined, self.mine.audit),
        )
        return unit.parted(assembled(told, self.mine.source_names), ~selected.out, TOO_FEW)

    def _pool(self, asked: list[Asked], judged: Judged) -> tuple[Places, Pool]:
        """The candidates of every source, and the index row of each of the pool's documents."""
        first = self.indexes[0]
        nearest = [self._nearest(number, each) for number, each in enumerate(asked)]
        if self.mine.inbook is not None:
            nearest.append(siblings(first, asked[0], judged, self.depth))
        drawn = self._drawn(asked[0])
        every = [judged.row, drawn.ravel(), *(each.documents.ravel() for each in nearest)]
        rows = np.unique(np.concatenate(every))
        rows = rows[rows >= 0]
        ranked = [Ranked(_among(rows, each.documents), each.scores) for each in nearest]
        documents = first.documents(rows)
        if self.mine.texts:
            assert self.mine.documents is not None
            documents = placed(documents, self.mine.documents)
        pool = fuse(ranked, documents, self.mine.fusion)
        pool = filled(pool, _among(rows, drawn))
        unscored = np.flatnonzero(np.isnan(pool.score))
        if len(unscored):
            scores = pool.score.copy()
            query, document = pool.query[unscored], pool.document[unscored]
            scores[unscored] = first.score(asked[0], query, rows[document])
            pool = replace(pool, score=scores)
        return rows, pool

    def _nearest(self, number: int, asked: Asked) -> Ranked:
        """What a source proposes, as rows of the first index; -1 where that one has it not."""
        index = self.indexes[number]
        hits = index.search(asked, min(self.depth, len(index)))
        if not number:
            return Ranked(hits.rows, hits.scores)
        own = np.unique(hits.rows)
        own = own[own >= 0]
        ids = index.documents(own)["id"].combine_chunks()
        row = np.append(self.indexes[0].locate(ids), -1)
        return Ranked(row[_among(own, hits.rows)], hits.scores)

    def _drawn(self, asked: Asked) -> Places:
        selection = self.mine.selection
        wanted = _FILL * selection.most if selection.shortage == "random" else 0
        return drawn_rows(asked.ids, selection.seed, len(self.indexes[0]), wanted)

    def _case(
        self, asked: Asked, judged: Judged, table: pa.Table, found: tuple[Places, Pool]
    ) -> Case:
        rows, pool = found
        positive, other = judged.positive, judged.other
        query, row = judged.query[positive], judged.row[positive]
        return Case(
            asked=asked,
            pool=pool,
            positives=Pairs(query, _among(rows, row), self.indexes[0].score(asked, query, row)),
            judged=Pairs(judged.query[other], _among(rows, judged.row[other]), judged.grade[other]),
            neutral=self.mine.qrels.neutral,
            texts=_Texts(self.mine, pool.documents),
            teacher=_Teacher(self.mine, asked, pool.documents) if self.mine.scores.named else None,
        )

    def _recall(self, asked: list[Asked]) -> pa.Array:
        """Measured on some of the queries, the worst of the approximate sources; null elsewhere.

        ConfigError where the mean over them is below what a source promises.
        """
        found = np.full(len(asked[0]), np.nan, np.float32)
        for place, dense in enumerate(self.mine.dense):
            if dense.approximate is not None:
                chosen = _some(asked[place], dense.approximate)
                measured = self._recall_of(place, _taken(asked[place], chosen))
                _check_recall(dense, float(measured.mean()))
                found[chosen] = np.fmin(found[chosen], measured)
        return pa.array(found, mask=np.isnan(found))

    def _recall_of(self, place: int, asked: Asked) -> Scores:
        index = self.indexes[place]
        k = min(self.depth, len(index))
        exact = opening.exact(self.mine, self.ask, place, self.depth)
        return recalls(index.search(asked, k), exact.search(asked, k))


@dataclass(frozen=True, eq=False)
class _Texts:
    """Texts of a pool's documents, fetched when a rule asks for them."""

    mine: "Mine"
    documents: pa.Table
    known: dict[int, str] = field(default_factory=dict)
    """Texts by place: the audit asks the rules twice."""

    def __call__(self, places: Places) -> list[str]:
        assert self.mine.documents is not None
        new = np.array([place for place in places if place not in self.known], np.int64)
        if len(new):
            rows: Any = pa.array(new)
            taken = self.documents.take(rows)
            names = ("source_file", "source_row", "content_hash")
            texts = fetch(self.mine.documents, *(whole(taken[name]) for name in names))
            self.known.update(zip(map(int, new), texts.to_numpy(zero_copy_only=False), strict=True))
        return [self.known[place] for place in places]


@dataclass(frozen=True, eq=False)
class _Teacher:
    """A teacher's stored scores of (query, document) pairs."""

    mine: "Mine"
    asked: Asked
    documents: pa.Table

    def __call__(self, query: Places, document: Places) -> Any:
        scores = self.mine.scores
        stored = StoredScores(scores.uri, scores.version, self.mine.teacher)
        hashes = self.documents["content_hash"].combine_chunks()
        queries: Any = pa.array(query)
        documents: Any = pa.array(document)
        return stored.of(self.asked.hashes.take(queries), hashes.take(documents))


def _some(asked: Asked, choice: Ann) -> Places:
    """The places of the queries whose recall is measured, drawn by their ids."""
    chosen: Places = np.sort(np.argsort(keys(asked.ids, choice.seed, "recall"))[: choice.sample])
    return chosen


def _taken(asked: Asked, places: Places) -> Asked:
    rows: Any = pa.array(places)
    matrix = None if asked.matrix is None else asked.matrix[places]
    return Asked(asked.ids.take(rows), asked.hashes.take(rows), matrix)


def _check_recall(dense: Dense, recall: float) -> None:
    assert dense.approximate is not None
    if recall < dense.approximate.min_recall:
        chosen = dense.approximate
        found = f"the {chosen.kind} index of {dense.vectors.uri} finds {recall:.3f}"
        problem = f"{found} of the exact answer, less than min_recall {chosen.min_recall:g}"
        hint = "raise effort, or search exactly"
        raise ConfigError((f"mine: {problem}; {hint}",))  # another try finds no more


def _among(rows: Places, wanted: Places) -> Places:
    """The place of each wanted row among ascending rows; -1 for -1."""
    if not len(rows):
        return np.full(wanted.shape, -1, np.int64)
    places: Places = np.searchsorted(rows, wanted).astype(np.int64)
    return np.where(wanted < 0, -1, places)
