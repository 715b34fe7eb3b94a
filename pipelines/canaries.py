"""Canary queries: known questions whose documents a version must find before it is published."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators import columns
from operators.base import ParallelMap
from operators.errors import ConfigError, SourceError
from operators.mine.groups import Atom
from operators.mine.ways import Way, asked_by, finest, open_part, ways_of
from operators.quantize.kernels import Matrix
from operators.storage import uri as store
from operators.storage.parquet import Shard, group_rows
from operators.text.lines import Line, piece_lines
from operators.text.raw import BadRowError
from operators.text.read_jsonl import parse_line
from operators.text.source import Piece
from pipelines.asking import mapped, recipe
from pipelines.fingerprint import digest
from pipelines.spec import Canaries, Phase
from pipelines.work import Job

MOST_QUERIES = 2000
_LONGEST_LINE = 1 << 20
_MORE = 16
"""Rows beyond the k nearest that are looked at, since some may tie with the last of those."""
_TASKS, _TASK_BYTES = 64, 256 << 20
"""Tasks that search a version, and the least bytes of files of one."""
_TOLD: dict[Way, str] = {"both": "both, by all words of a query"}
"""How queries are compared where that is not what it was at first."""


@dataclass(frozen=True)
class Questions:
    """What is asked, and which documents must be found, question by question."""

    texts: tuple[str, ...]
    expected: tuple[frozenset[str], ...]

    @property
    def digest(self) -> str:
        """128-bit digest of texts and expected ids."""
        told = zip(self.texts, self.expected, strict=True)
        return digest([[text, sorted(ids)] for text, ids in told])


@dataclass(frozen=True)
class Recall:
    """What canary queries came to; a commit records it for the next run."""

    recall: float
    k: int
    queries: str
    """Digest of the questions, and of how they are compared where not by dense vectors."""
    asked: int


def questions(uri: str) -> Questions:
    """The questions of a file of JSON lines, plain or compressed.

    SourceError names the first line that is none, and tells of a missing, empty or too long file.
    """
    place = store.absolute(uri)
    found = store.file_at(place)
    piece = Piece(place, "jsonl", found.version, found.size, 0, found.size)
    asked: dict[str, frozenset[str]] = {}
    for number, line in enumerate(piece_lines(piece, _LONGEST_LINE), 1):
        if line.data is not None and not line.data.strip():
            continue
        text, expected = _question(place, number, line)
        asked[text] = asked.get(text, frozenset()) | expected
        if len(asked) > MOST_QUERIES:
            raise SourceError(place, f"more than {MOST_QUERIES:,} canary queries; take a sample")
    if not asked:
        raise SourceError(place, "it holds no canary query")
    return Questions(tuple(asked), tuple(asked.values()))


def check_canaries(phase: Phase, schemas: Sequence[pa.Schema]) -> None:
    """Whether a phase can ask the canary queries of its gate, if it has some.

    ConfigError where its steps do not make the vectors that its table holds; SourceError where
    the queries cannot be read.
    """
    canaries = phase.write.gate.canaries
    if canaries is None:
        return
    where = f"phase {phase.name}, write, gate: canaries need"
    operators = [step.operator for step in phase.steps]
    found = recipe(operators)
    if found is None:
        raise ConfigError((f"{where} steps tokenize and encode, by which queries become vectors",))
    if mapped(operators):
        raise ConfigError((f"{where} vectors as encode makes them, and adapt maps the table's",))
    ways = ways_of(schemas[-1])
    if not ways:
        raise ConfigError((f"{where} a table of vectors, and this one has none",))
    if found.by_language:
        raise ConfigError((f"{where} a strategy with its `language`: their lines tell none",))
    made = found.bound()
    if ways[0] in {"dense", "both"}:
        column = finest(schemas[-1])
        given, kept = columns.dim_of(made.field("embedding")), columns.dim_of(column)
        if given not in {kept, columns.truncated_from(column)}:
            problem = f"vectors as encode makes them: {given} dimensions, and the table's have"
            raise ConfigError((f"{where} {problem} {kept}",))
    questions(canaries.queries)


def ask(canaries: Canaries, job: Job, shards: Sequence[Shard], parallel: ParallelMap) -> Recall:
    """Search all rows of the shards exactly for what the canary queries expect.

    The queries are encoded as the phase encodes texts, but in the role of queries, and compared as
    the table's columns are made for. A document is found where fewer than k rows are nearer; a
    question's recall is the share of its documents that are, of at most k. TableError where a
    shard cannot be read.
    """
    asked = questions(canaries.queries)
    rows = next(iter(parallel(_Encoded(job, asked.texts), [0])))
    places = rows[columns.ID.name].to_numpy().astype(np.int64)
    expected = tuple(asked.expected[place] for place in places)
    groups = tuple(_groups([shard for shard in shards if shard.rows]))
    schema, way = job.schemas[-1], ways_of(job.schemas[-1])[0]
    search = _Search(job.table, schema, way, groups, expected, rows, canaries.k)
    best: _Found | None = None
    for found in parallel(search, range(len(groups) if len(rows) else 0)):
        best = found if best is None else _nearest(best, found, canaries.k + _MORE)
    total = 0.0 if best is None else float(_shares(best, expected, canaries.k).sum())
    recall = round(total / len(asked.texts), 6)
    told = asked.digest if way == "dense" else digest([asked.digest, _TOLD.get(way, way)])
    return Recall(recall, canaries.k, told, len(asked.texts))


@dataclass(frozen=True, eq=False)
class _Found:
    """The nearest rows of each query, nearest first."""

    scores: Matrix
    """(q, m); -inf where there are fewer."""
    expected: npt.NDArray[np.bool_]
    """(q, m): the row is one that its query expects."""


@dataclass(frozen=True)
class _Encoded:
    """Makes queries of texts, their ids the texts' numbers; without those that the steps refuse."""

    job: Job
    texts: tuple[str, ...]

    def __call__(self, _: int) -> pa.Table:
        found = recipe(step.operator for step in self.job.steps)
        assert found is not None
        number = pa.array([str(n) for n in range(len(self.texts))], pa.string())
        schema = pa.schema((columns.ID, columns.TEXT))
        return found.encoded(pa.table([number, pa.array(self.texts, pa.string())], schema=schema))


@dataclass(frozen=True, eq=False)
class _Search:
    """Searches one group of shards."""

    table: str
    schema: pa.Schema
    way: Way
    groups: tuple[tuple[str, ...], ...]
    expected: tuple[frozenset[str], ...]
    queries: pa.Table
    k: int

    def __call__(self, number: int) -> _Found:
        part = open_part(self.table, self.schema, tuple(self._atoms(number)), self.way)
        hits = part.search(asked_by(self.way, self.queries), self.k + _MORE)
        expected = np.zeros(hits.rows.shape, bool)
        query, rank = np.nonzero(hits.rows >= 0)
        rows, which = np.unique(hits.rows[query, rank], return_inverse=True)
        ids: Any = part.documents(rows)[columns.ID.name]
        names = ids.take(pa.array(which)).to_pylist()
        expected[query, rank] = [
            name in self.expected[q] for q, name in zip(query, names, strict=True)
        ]
        return _Found(hits.scores, expected)

    def _atoms(self, number: int) -> Iterator[Atom]:
        first = 0
        for path in self.groups[number]:
            for group, rows in enumerate(group_rows(self.table, path)):
                if rows:
                    yield Atom(path, group, first, rows)
                first += rows


def _question(place: str, number: int, line: Line) -> tuple[str, frozenset[str]]:
    try:
        found = parse_line(line)
        text, expected = found.get("text"), found.get("expected")
        if not isinstance(text, str) or not text.strip():
            raise BadRowError("it needs a 'text', the question")
        if not isinstance(expected, list) or not expected or not all(map(_names_a_row, expected)):
            raise BadRowError("it needs 'expected', a list of ids of documents")
    except BadRowError as error:
        raise SourceError(place, f"line {number} is no canary query: {error}") from None
    return text, frozenset(map(str, expected))


def _names_a_row(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _groups(shards: Sequence[Shard]) -> Iterator[tuple[str, ...]]:
    """The shards' paths, by tasks of about as many bytes."""
    most = max(_TASK_BYTES, sum(shard.size for shard in shards) // _TASKS)
    group: list[str] = []
    size = 0
    for shard in sorted(shards, key=lambda shard: shard.path):
        group.append(shard.path)
        size += shard.size
        if size >= most:
            yield tuple(group)
            group, size = [], 0
    if group:
        yield tuple(group)


def _nearest(one: _Found, other: _Found, most: int) -> _Found:
    scores = np.concatenate([one.scores, other.scores], axis=1)
    expected = np.concatenate([one.expected, other.expected], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :most]
    return _Found(*(np.take_along_axis(each, order, axis=1) for each in (scores, expected)))


def _shares(found: _Found, expected: Sequence[frozenset[str]], k: int) -> npt.NDArray[np.float64]:
    """Of each question, the share of its documents that fewer than k rows beat."""
    near = found.scores >= found.scores[:, k - 1 : k]
    most = np.array([min(k, len(ids)) for ids in expected])
    shares: npt.NDArray[np.float64] = np.minimum((near & found.expected).sum(axis=1), most) / most
    return shares
