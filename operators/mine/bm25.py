"""BM25 over texts that lie in parts, with the statistics of the whole: as one bm25s index."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from operators.errors import ContractError, SourceError
from operators.mine.held import Held, nearest
from operators.mine.pool import DOCUMENTS, Asked, Places, Scores
from operators.mine.postings import Postings
from operators.mine.topk import Hits
from operators.mine.words import (
    Numbers,
    Statistics,
    Words,
    counted,
    joined,
    split,
    statistics,
)
from operators.quantize.kernels import Rows
from operators.text.rows import read_unit
from operators.text.source import Source, Unit

pc: Any = pyarrow.compute  # the stubs do not know every function


@dataclass(frozen=True)
class Bm25Index:
    """Texts as they are searched: plain data, told to every part."""

    source: Source
    """As its listing gives it."""
    units: tuple[Unit, ...]
    k1: float = 1.5
    b: float = 0.75
    stopwords: str = "english"
    """Words left out, by the name that bm25s has for them; empty for none."""


def count(index: Bm25Index, part: int = 0, of: int = 1) -> Statistics:
    """The first pass: what part `part` of `of` runs of units tells; `joined` adds parts up."""
    first = _first_unit(index, part, of)
    units = enumerate(_documents(index, part, of), first)
    return joined([statistics(at, split(_texts(rows), index.stopwords)) for at, rows in units])


def open_part(index: Bm25Index, known: Statistics, part: int = 0, of: int = 1) -> "Bm25Part":
    """The second pass: the documents of a part, scored by what is known of them all.

    Its inverted index stays in memory, 8 bytes for each word of each document, and about twice
    that while it opens. SourceError where the whole collection has no good row.
    """
    if not known.documents:
        raise SourceError(index.source.uri, "has no good row; there is nothing to search")
    documents, units = [], []
    for rows in _documents(index, part, of):
        documents.append(_described(rows))
        units.append(_Unit.of(split(_texts(rows), index.stopwords)))
    first = known.first_row(_first_unit(index, part, of))
    return Bm25Part(index.stopwords, _inverted(index, known, units), Held.of(documents, first))


@dataclass(frozen=True, eq=False)
class Inverted:
    """Where each word occurs, and what it adds to a document's score there."""

    words: pa.Array
    bounds: Numbers
    """Occurrences [bounds[w], bounds[w + 1]) are those of word w."""
    document: npt.NDArray[np.int32]
    weight: Scores
    documents: int

    def scores(self, words: Numbers) -> Scores:
        """The (documents,) scores of a query's words, each counted as often as it comes."""
        found = np.zeros(self.documents, np.float32)
        for word in words:
            part = slice(self.bounds[word], self.bounds[word + 1])
            found[self.document[part]] += self.weight[part]
        return found


@dataclass(frozen=True, eq=False)
class Bm25Part:
    """Search of a part's documents; one that shares no word with a query is no hit."""

    stopwords: str
    inverted: Inverted
    held: Held

    def size(self) -> int:
        return len(self.held)

    def search(self, asked: Asked, k: int) -> Hits:
        found = [self._near(words, k) for words in self._words(asked)]
        return self.held.hits(found, k)

    def documents(self, rows: Rows) -> pa.Table:
        return self.held.documents(rows)

    def locate(self, ids: pa.Array) -> Rows:
        return self.held.locate(ids)

    def children(self, parents: pa.Array) -> tuple[Rows, Places]:
        return self.held.children(parents)

    def score(self, asked: Asked, query: Places, rows: Rows) -> Scores:
        scores = np.full(len(rows), np.nan, np.float32)
        words = self._words(asked)
        for one, pairs in self.held.by_query(query, rows):
            scores[pairs] = self.inverted.scores(words[one])[rows[pairs] - self.held.first_row]
        return scores

    def _words(self, asked: Asked) -> list[Numbers]:
        """The numbers of each query's words, those that the part knows, in their order."""
        if asked.texts is None:
            raise ContractError("mine", "text", "the queries' texts, for BM25", "no texts")
        words = split(asked.texts, self.stopwords)
        place = pc.fill_null(pc.index_in(words.words, self.inverted.words), -1).to_numpy()
        numbers = place.astype(np.int64)[words.number]
        each = np.split(numbers, np.cumsum(words.length)[:-1])
        return [some[some >= 0] for some in each]

    def _near(self, words: Numbers, k: int) -> tuple[Rows, Scores]:
        """The k best of the documents that share a word, and what ties with the last of them."""
        scores = self.inverted.scores(words)
        some = np.flatnonzero(scores > 0)
        some = some[nearest(scores[some], k)]
        return some, scores[some]


@dataclass(frozen=True, eq=False)
class _Unit:
    """How often each of its words comes in each document of a unit."""

    words: pa.Array
    length: Numbers
    word: npt.NDArray[np.int32]
    document: npt.NDArray[np.int32]
    """Ascending."""
    times: npt.NDArray[np.int32]

    @classmethod
    def of(cls, words: Words) -> "_Unit":
        word, document, times = (each.astype(np.int32) for each in counted(words))
        order = np.argsort(document, kind="stable")
        return cls(words.words, words.length, word[order], document[order], times[order])


def _inverted(index: Bm25Index, known: Statistics, units: list[_Unit]) -> Inverted:
    """Lucene's BM25 as in bm25s: idf x times / (times + k1 (1 - b + b x length / mean)).

    The units' documents come one after the other; each unit is let go when it is weighed.
    """
    every = pa.concat_arrays([pa.array([], pa.string()), *(each.words for each in units)])
    words = every.unique()
    number = pc.index_in(every, words).to_numpy()
    place = pc.index_in(words, known.frequency["word"]).to_numpy().astype(np.int64)
    frequency = known.frequency["documents"].to_numpy()[place]
    idf = np.log1p((known.documents - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)
    weighed, first = [], 0
    while units:
        unit = units.pop(0)
        word = number[first : first + len(unit.words)][unit.word]
        first += len(unit.words)
        long = 1 - index.b + index.b * unit.length / known.mean_length
        weight = idf[word] * (unit.times / (unit.times + index.k1 * long[unit.document]))
        lengths = np.bincount(unit.document, minlength=len(unit.length))
        weighed.append((word, weight.astype(np.float32), lengths))
    made = Postings.of(weighed, len(words))
    return Inverted(words, made.bounds, made.document, made.weight, made.documents)


def _documents(index: Bm25Index, part: int, of: int) -> Iterator[pa.Table]:
    """The good rows of each unit of a part."""
    for unit in index.units[_first_unit(index, part, of) : _first_unit(index, part + 1, of)]:
        rows = pa.concat_tables([table for _, table in read_unit(index.source, unit)])
        yield rows.filter(rows["error"].is_null())


def _first_unit(index: Bm25Index, part: int, of: int) -> int:
    return part * len(index.units) // of


def _texts(rows: pa.Table) -> list[str]:
    texts: Any = rows["text"]
    found: list[str] = texts.to_pylist()  # bm25s splits Python strings
    return found


def _described(rows: pa.Table) -> pa.Table:
    made = [
        rows[field.name].cast(field.type)
        if field.name in rows.column_names
        else pa.chunked_array([pa.nulls(len(rows), field.type)])
        for field in DOCUMENTS
    ]
    return pa.table(made, schema=DOCUMENTS)
