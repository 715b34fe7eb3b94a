"""What a rule sees of a unit, and what a rule is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import pyarrow.compute

from operators.mine.pool import Asked, Marks, Pairs, Places, Pool, Scores

pc: Any = pyarrow.compute  # the stubs do not know the type of an encoded dictionary

Texts = Callable[[Places], Sequence[str]]
"""Texts of rows of the pool's documents."""
TeacherScores = Callable[[Places, Places], Scores]
"""Stored scores of (query, document row of the pool) pairs; NaN where there is none."""


@dataclass(frozen=True, eq=False)
class Case:
    """Candidates of a unit's queries, what is judged of them, and what rules may ask for."""

    asked: Asked
    pool: Pool
    positives: Pairs
    """Judged relevant, with scores by the pool's measure; NaN where there is none."""
    judged: Pairs
    """Every other judged pair; the score is the grade."""
    neutral: tuple[float, ...] = ()
    """Grades of `judged` that are neither positive nor usable as negatives."""
    texts: Texts | None = None
    teacher: TeacherScores | None = None


@runtime_checkable
class Rule(Protocol):
    """A frozen dataclass that says which candidates are not to be negatives.

    Whether it drops a candidate depends on the candidate, its query and what is judged of the
    query, never on the other candidates: rules are asked about what earlier ones left.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]]
    """Of `texts`, `parents`, `teacher`, `scores`: what it reads beyond ids and hashes."""

    def drops(self, case: Case) -> Marks:
        """One mark a candidate of the pool."""
        ...


def judged_among(pool: Pool, pairs: Pairs) -> Marks:
    """Which candidates have the id of one of the (query, document) pairs.

    A source without a table may have an id twice: both rows are that document.
    """
    number, width = encoded(pool.documents["id"]), len(pool.documents)
    judged = pairs.query * width + number[pairs.document]
    marks: Marks = np.isin(pool.query * width + number[pool.document], judged)
    return marks


def shared(pool: Pool, positives: Pairs, values: Places) -> Marks:
    """Which candidates have the value of a positive of their query; -1 is no value."""
    width = len(values) + 2
    wanted = values[positives.document]
    marks: Marks = np.isin(
        pool.query * width + values[pool.document],
        (positives.query * width + wanted)[wanted >= 0],
    )
    return marks & (values[pool.document] >= 0)


def encoded(column: pyarrow.ChunkedArray) -> Places:
    """A number for each value, equal for equal values; -1 for null."""
    numbers = pc.dictionary_encode(column.combine_chunks())
    if isinstance(numbers, pyarrow.ChunkedArray):
        numbers = numbers.combine_chunks()
    return np.asarray(numbers.indices.fill_null(-1)).astype(np.int64)


def place_of(query: Places) -> Places:
    """The place of each candidate among those of its query; ascending by query."""
    places: Places = np.arange(len(query)) - np.searchsorted(query, query)
    return places
