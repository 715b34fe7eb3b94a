"""Canary queries: known questions whose documents a version must find before it is published."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators import columns
from operators.arrays import to_matrix
from operators.base import ParallelMap
from operators.encode.encode import Encode
from operators.errors import ConfigError, SourceError, TableError
from operators.mine.groups import Atom, Coded, coded, read_vectors
from operators.mine.topk import topk
from operators.quantize.kernels import Matrix
from operators.quantize.prefix import asked_of
from operators.storage import uri as store
from operators.storage.parquet import Shard, group_rows, read_group
from operators.text.lines import Line, piece_lines
from operators.text.raw import BadRowError
from operators.text.read_jsonl import parse_line
from operators.text.source import Piece
from operators.text.tokenizer import Tokenize
from pipelines.fingerprint import digest
from pipelines.resample import finest, has_vectors
from pipelines.rows import accepted, through
from pipelines.spec import Canaries, Phase
from pipelines.work import Job

MOST_QUERIES = 2000
_LONGEST_LINE = 1 << 20
_MORE = 16
"""Rows beyond the k nearest that are looked at, since some may tie with the last of those."""
_TASKS, _TASK_BYTES = 64, 256 << 20
"""Tasks that search a version, and the least bytes of files of one."""


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
    """Digest of the questions."""
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
    encode = next((n for n, each in enumerate(operators) if isinstance(each, Encode)), None)
    if encode is None or not any(isinstance(each, Tokenize) for each in operators):
        raise ConfigError((f"{where} steps tokenize and encode, by which queries become vectors",))
    if not has_vectors(schemas[-1]):
        raise ConfigError((f"{where} a table of vectors, and this one has none",))
    made = columns.dim_of(schemas[encode + 1].field("embedding"))
    column = finest(schemas[-1])
    kept = columns.dim_of(column)
    if made not in {kept, columns.truncated_from(column)}:
        problem = f"vectors as encode makes them: {made} dimensions, and the table's have {kept}"
        raise ConfigError((f"{where} {problem}",))
    questions(canaries.queries)


def ask(canaries: Canaries, job: Job, shards: Sequence[Shard], parallel: ParallelMap) -> Recall:
    """Search all rows of the shards exactly for what the canary queries expect.

    The queries are encoded as the phase encodes texts, but in the role of queries. A document is
    found where fewer than k rows are nearer; a question's recall is the share of its documents
    that are, of at most k. TableError where a shard cannot be read.
    """
    asked = questions(canaries.queries)
    vectors: Matrix = next(iter(parallel(_Encoded(job, asked.texts), [0])))
    groups = tuple(_groups([shard for shard in shards if shard.rows]))
    column = coded(job.table, finest(job.schemas[-1]))
    cut = asked_of(column.field, vectors)
    search = _Search(job.table, column, groups, asked.expected, cut, canaries.k)
    best: _Found | None = None
    for found in parallel(search, range(len(groups))):
        best = found if best is None else _nearest(best, found, canaries.k + _MORE)
    shares = np.zeros(len(asked.texts)) if best is None else _shares(best, asked, canaries.k)
    recall = round(float(shares.mean()), 6)
    return Recall(recall, canaries.k, asked.digest, len(asked.texts))


@dataclass(frozen=True, eq=False)
class _Found:
    """The nearest rows of each query, nearest first."""

    scores: Matrix
    """(q, m); -inf where there are fewer."""
    expected: npt.NDArray[np.bool_]
    """(q, m): the row is one that its query expects."""


@dataclass(frozen=True)
class _Encoded:
    """Makes (q, dim) vectors of texts; zeros of a text that the steps refuse."""

    job: Job
    texts: tuple[str, ...]

    def __call__(self, _: int) -> Matrix:
        operators = [step.operator for step in self.job.steps]
        tokenize = next(each for each in operators if isinstance(each, Tokenize))
        encode = next(each for each in operators if isinstance(each, Encode))
        number = pa.array([str(n) for n in range(len(self.texts))], pa.string())
        schema = pa.schema((columns.ID, columns.TEXT))
        table = pa.table([number, pa.array(self.texts, pa.string())], schema=schema)
        for operator in (replace(tokenize, role="query", prompt=None), encode):
            schema = operator.bind(schema)
            with operator.open() as transform:
                table = through(transform, table, schema)
        good = accepted(table, schema)
        dim = columns.dim_of(schema.field("embedding"))
        vectors = np.zeros((len(self.texts), dim), np.float32)
        places = good[columns.ID.name].to_numpy().astype(np.int64)
        vectors[places] = to_matrix(good["embedding"], dim)
        return vectors


@dataclass(frozen=True, eq=False)
class _Search:
    """Searches one group of shards, a row group at a time."""

    table: str
    column: Coded
    groups: tuple[tuple[str, ...], ...]
    expected: tuple[frozenset[str], ...]
    vectors: Matrix
    k: int

    def __call__(self, number: int) -> _Found:
        atoms = list(self._atoms(number))
        blocks = (read_vectors(self.table, atom, self.column) for atom in atoms)
        try:
            hits = topk(self.vectors, blocks, self.k + _MORE)
        except ValueError as error:
            raise TableError(self.table, f"{self.column.field.name}: {error}") from error
        expected = np.zeros(hits.rows.shape, bool)
        for atom in atoms:
            place = hits.rows - atom.first_row
            query, rank = np.nonzero((place >= 0) & (place < atom.rows))
            if len(query):
                ids = read_group(self.table, atom.path, atom.group, [columns.ID.name])[0]
                names = ids.take(pa.array(place[query, rank], pa.int64())).to_pylist()
                expected[query, rank] = [
                    name in self.expected[q] for q, name in zip(query, names, strict=True)
                ]
        return _Found(hits.scores, expected & self.vectors.any(axis=1, keepdims=True))

    def _atoms(self, number: int) -> Iterator[Atom]:
        first = 0
        for path in self.groups[number]:
            for group, rows in enumerate(group_rows(self.table, path)):
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


def _shares(found: _Found, asked: Questions, k: int) -> npt.NDArray[np.float64]:
    """Of each question, the share of its documents that fewer than k rows beat."""
    near = found.scores >= found.scores[:, k - 1 : k]
    most = np.array([min(k, len(ids)) for ids in asked.expected])
    shares: npt.NDArray[np.float64] = np.minimum((near & found.expected).sum(axis=1), most) / most
    return shares
