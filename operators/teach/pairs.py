"""The operator that turns mined rows into the pairs that teachers have yet to score."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
from pydantic.dataclasses import dataclass

from operators import columns
from operators.arrays import whole
from operators.base import STRICT, Operator, Resources, Transform
from operators.beside import Around, Beside
from operators.contract import extend, require, without
from operators.errors import ConfigError
from operators.storage.table import Table
from operators.teach.protocol import Scoring
from operators.teach.stored import known, pair_ids
from operators.text.origin import field_of, recorded_field
from operators.text.source import Source

pc: Any = pyarrow.compute  # the stubs do not know every function

Places = npt.NDArray[np.int64]

_ROLES = ("positive", "negative")
_LISTS = {
    "ids": pa.list_(pa.string()),
    "hashes": pa.list_(pa.binary()),
    "files": pa.list_(pa.string()),
    "rows": pa.list_(pa.int64()),
}
_NEEDED = (
    columns.QUERY_ID,
    columns.CONTENT_HASH,
    columns.SOURCE_FILE,
    columns.SOURCE_ROW,
    *(pa.field(f"{role}_{part}", kind) for role in _ROLES for part, kind in _LISTS.items()),
)

_FIELDS: list[pa.Field] = [
    columns.ID,
    columns.QUERY_ID,
    columns.DOC_ID,
    columns.QUERY_HASH,
    columns.DOC_HASH,
    columns.TEACHER,
    columns.QUERY,
    columns.TEXT,
]
PAIRS = pa.schema(_FIELDS)
"""One row a pair and teacher, by teacher, then as the pairs come; id is `pair_ids` of it."""


@dataclass(frozen=True, config=STRICT)
class Pairs:
    """One row for each teacher and (query, document) text pair of the mined rows, positives too.

    Pairs of equal texts are one pair, and what `known` holds is left out; the texts are fetched
    from the sources by file and row. All fields are filled in by the plan.
    """

    name: ClassVar[str] = "pairs"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = False
    aside: ClassVar[frozenset[str]] = frozenset(
        {"queries", "documents", "known", "listwise", "texts", "answer"}
    )
    accumulates: ClassVar[bool] = True

    queries: Source | None = None
    documents: Source | None = None
    teachers: tuple[str, ...] = ()
    """Fingerprints of the steps that score the pairs."""
    known: Beside = Beside()
    """Scores that are there already."""
    listwise: tuple[str, ...] = ()
    """The teachers that score a query's list at once, so that it is never cut."""
    answer: str = ""
    """The column of the queries' source that one of them reads beside the texts."""
    texts: bool = True
    """Whether any of them reads the texts, which are fetched for it."""

    @property
    def unit_bytes(self) -> tuple[int, int]:
        """Small with texts: those of a row's pairs take many times the bytes of the row."""
        return (64 << 10, 1 << 20) if self.texts else (16 << 20, 16 << 20)

    def followed(self, following: tuple[Operator, ...]) -> Self:
        """The step with the columns that the teachers behind it read."""
        steps = _teachers(following)
        if not steps:
            raise ConfigError(("pairs: no teach step follows it",))
        return replace(self, answer=_answer(steps), texts=any(step.reads_texts for step in steps))

    def settled(self, around: Around) -> Self:
        """The step with the sources of its texts, its teachers, and what its table holds."""
        step, steps = self.followed(around.following), _teachers(around.following)
        mined = Beside(around.source.uri, version=around.source.version)
        found: Callable[..., Source | None] = field_of if step.texts else recorded_field
        settled = replace(
            step,
            queries=field_of(mined, "mine", "queries"),
            documents=found(mined, "mine", "documents"),
            teachers=tuple(step.fingerprint for step in steps),
            listwise=tuple(step.fingerprint for step in steps if step.whole),
            known=around.own,
        )
        if settled.listwise or settled.answer:
            _check_texts(mined)
        return settled

    def bind(self, schema: pa.Schema) -> pa.Schema:
        require(self.name, schema, *_NEEDED)
        found = PAIRS if self.texts else without(PAIRS, "query", "text")
        return extend(found, columns.ANSWER) if self.answer else found

    @contextmanager
    def open(self, on: Resources = Resources()) -> Iterator[Transform]:  # noqa: B008 - frozen
        if self.queries is None or (self.texts and self.documents is None):
            raise ConfigError(("pairs: the plan has not named the sources of its texts",))
        yield partial(self._pairs, self.queries, self.documents)

    def _pairs(self, queries: Source, documents: Source | None, table: pa.Table) -> pa.Table:
        flat = _flat(table)
        every = _unique(flat)
        found = [self._new(_of(name, every), name) for name in dict.fromkeys(self.teachers)]
        rows = pa.concat_tables([*found, _of("", flat.slice(0, 0))])
        if self.texts and documents is not None:
            rows = rows.append_column(columns.QUERY, _texts(queries, rows, "query"))
            rows = rows.append_column(columns.TEXT, _texts(documents, rows, "doc"))
        if self.answer:
            held = replace(queries, text=(self.answer,))
            answers = _texts(held, rows, "query", hashed=False)
            rows = rows.append_column(columns.ANSWER, answers)
        bound = self.bind(table.schema)
        return rows.select(bound.names).cast(bound)

    def _new(self, pairs: pa.Table, teacher: str) -> pa.Table:
        """The pairs that are not known; a list that is scored whole stays if any of it is new."""
        if not self.known.uri:
            return pairs
        new = ~known(self.known.uri, self.known.version, whole(pairs["id"]))
        if teacher in self.listwise:
            row = pairs["row"].to_numpy()
            new = np.isin(row, row[new])
        return pairs.filter(pa.array(new))


def _teachers(following: tuple[Operator, ...]) -> list[Scoring]:
    return [step for step in following if isinstance(step, Scoring)]


def _flat(table: pa.Table) -> pa.Table:
    """One row a query and document, by query, its positives first."""
    parts = [_of_role(table, role) for role in _ROLES]
    row = np.concatenate([part["row"].to_numpy() for part in parts])
    return pa.concat_tables(parts).take(np.argsort(row, kind="stable"))


def _of_role(table: pa.Table, role: str) -> pa.Table:
    lists = {part: whole(table[f"{role}_{part}"]) for part in _LISTS}
    row = pc.list_parent_indices(lists["ids"])
    query = table.select([field.name for field in _NEEDED[:4]]).take(row)
    made = {
        "row": row,
        "query_id": query["query_id"],
        "query_hash": query["content_hash"],
        "query_file": query["source_file"],
        "query_row": query["source_row"],
        "doc_id": pc.list_flatten(lists["ids"]),
        "doc_hash": pc.list_flatten(lists["hashes"]),
        "doc_file": pc.list_flatten(lists["files"]),
        "doc_row": pc.list_flatten(lists["rows"]),
    }
    return pa.table(made)


def _unique(pairs: pa.Table) -> pa.Table:
    """The first row of each pair of texts."""
    keys = pc.binary_join_element_wise(pairs["query_hash"], pairs["doc_hash"], b"")
    return pairs.take(_firsts(whole(keys))[0])


def _of(teacher: str, pairs: pa.Table) -> pa.Table:
    teachers = pa.repeat(pa.scalar(teacher), len(pairs))
    ids = pair_ids(whole(pairs["query_hash"]), whole(pairs["doc_hash"]), teachers)
    return pairs.append_column(columns.TEACHER, teachers).append_column(columns.ID, ids)


def _answer(steps: Sequence[Scoring]) -> str:
    """The column with the answers that the steps ask for; ConfigError where they differ."""
    asked = sorted({name for step in steps if (name := getattr(step, "answer", None))})
    if len(asked) > 1:
        raise ConfigError((f"pairs: its teachers read several answers: {', '.join(asked)}",))
    return "".join(asked)


def _check_texts(mined: Beside) -> None:
    """ConfigError where two mined queries have one text: a pair of theirs would have one score."""
    names = [columns.QUERY_ID.name, columns.CONTENT_HASH.name]
    rows = pa.concat_tables(Table(mined.uri).read(names, mined.version))
    ids, hashes = (whole(rows[name]) for name in names)
    first, place = _firsts(hashes)
    later = np.setdiff1d(np.arange(len(ids)), first)
    if len(later):
        one, other = ids[int(first[place[later[0]]])], ids[int(later[0])]
        problem = f"{len(later)} queries of {mined.uri} have the text of another, such as {other}"
        why = "a teacher that reads whole lists, or answers, scores each text once"
        raise ConfigError((f"pairs: {problem} that of {one}; {why}: mine one query of each",))


def _texts(source: Source, rows: pa.Table, side: str, *, hashed: bool = True) -> pa.Array:
    """The texts of one side of the pairs; each distinct text is fetched once."""
    from operators.text.fetch import fetch

    first, place = _firsts(whole(rows[f"{side}_hash"]))
    asked = rows.select([f"{side}_{part}" for part in ("file", "row", "hash")]).take(first)
    file, number, digest = (whole(column) for column in asked.columns)
    return fetch(source, file, number, digest if hashed else None).take(place)


def _firsts(keys: pa.Array) -> tuple[Places, Places]:
    """The first row of each distinct key, in the order of the rows, and which key each row has."""
    place = np.asarray(keys.dictionary_encode().indices, np.int64)
    return np.unique(place, return_index=True)[1], place
