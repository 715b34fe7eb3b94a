"""Rules by what is judged of a query: its positives, their texts, their parents."""

from typing import ClassVar

import numpy as np
import pyarrow as pa
from pydantic.dataclasses import dataclass

from operators.base import STRICT
from operators.mine.case import Case, encoded, judged_among, shared
from operators.mine.pool import Marks, Pairs

_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, config=STRICT)
class NoScore:
    """Drop what has no finite score: it has no vector, or nothing stands in its place."""

    name: ClassVar[str] = "no-score"
    needs: ClassVar[frozenset[str]] = _NOTHING

    def drops(self, case: Case) -> Marks:
        return ~np.isfinite(case.pool.score)


@dataclass(frozen=True, config=STRICT)
class Positives:
    """Drop the judged positives of the query."""

    name: ClassVar[str] = "positives"
    needs: ClassVar[frozenset[str]] = _NOTHING

    def drops(self, case: Case) -> Marks:
        return judged_among(case.pool, case.positives)


@dataclass(frozen=True, config=STRICT)
class Judged:
    """Drop what is judged with a neutral grade: not relevant, and yet not to be a negative."""

    name: ClassVar[str] = "judged"
    needs: ClassVar[frozenset[str]] = _NOTHING

    def drops(self, case: Case) -> Marks:
        neutral = np.isin(case.judged.score, np.array(case.neutral, np.float32))
        query, document, grade = case.judged
        pairs = Pairs(query[neutral], document[neutral], grade[neutral])
        return judged_among(case.pool, pairs)


@dataclass(frozen=True, config=STRICT)
class DuplicateText:
    """Drop a document whose text is that of a positive, or of the query itself."""

    name: ClassVar[str] = "duplicate-text"
    needs: ClassVar[frozenset[str]] = _NOTHING

    def drops(self, case: Case) -> Marks:
        documents = case.pool.documents["content_hash"]
        hashes = pa.chunked_array([*documents.chunks, case.asked.hashes], documents.type)
        numbers = encoded(hashes)
        texts, own = numbers[: len(documents)], numbers[len(documents) :]
        text = texts[case.pool.document]
        itself: Marks = (text == own[case.pool.query]) & (text >= 0)
        return itself | shared(case.pool, case.positives, texts)


@dataclass(frozen=True, config=STRICT)
class Siblings:
    """Drop the other passages of a positive's parent document."""

    name: ClassVar[str] = "siblings"
    needs: ClassVar[frozenset[str]] = frozenset({"parents"})

    def drops(self, case: Case) -> Marks:
        return shared(case.pool, case.positives, encoded(case.pool.documents["parent_id"]))


@dataclass(frozen=True, config=STRICT)
class Strangers:
    """Drop what is of no positive's parent, so that only in-book negatives are left."""

    name: ClassVar[str] = "strangers"
    needs: ClassVar[frozenset[str]] = frozenset({"parents"})

    def drops(self, case: Case) -> Marks:
        parents = encoded(case.pool.documents["parent_id"])
        return ~shared(case.pool, case.positives, parents)
