"""Texts as words, and how often each word occurs: what BM25 knows of a collection."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

pc: Any = pyarrow.compute  # the stubs do not know every function
Numbers = npt.NDArray[np.int64]

_UNITS: list[pa.Field] = [pa.field(name, pa.int64()) for name in ("unit", "rows", "words")]
_ROWS = pa.schema(_UNITS)
_OCCURS: list[pa.Field] = [pa.field("word", pa.string()), pa.field("documents", pa.int64())]
_FREQUENCY = pa.schema(_OCCURS)


@dataclass(frozen=True, eq=False)
class Words:
    """Words of some texts, by number."""

    words: pa.Array
    """Each word once."""
    length: Numbers
    """(n,) words of each text, stop words left out."""
    number: Numbers
    """Which word, for all texts one after the other."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """What all documents of some units together tell; `joined` is associative."""

    rows: pa.Table
    """`unit`, `rows` and `words`: documents of each unit and their length, by unit."""
    frequency: pa.Table
    """`word` and `documents`: in how many it occurs, by word."""

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return int(self.rows["rows"].to_numpy().sum())

    @property
    def mean_length(self) -> float:
        """Words of a document, on average; 0 where there is none."""
        return int(self.rows["words"].to_numpy().sum()) / max(1, self.documents)

    def first_row(self, unit: int) -> int:
        """Documents of the units before this one."""
        before = self.rows["unit"].to_numpy() < unit
        return int(self.rows["rows"].to_numpy()[before].sum())


def split(texts: Sequence[str], stopwords: str) -> Words:
    """Lowercase words of two letters or more, as bm25s finds them."""
    import bm25s

    found: Any = bm25s.tokenize(
        list(texts), stopwords=stopwords or None, return_ids=True, show_progress=False
    )
    length = np.fromiter(map(len, found.ids), np.int64, len(found.ids))
    number = np.fromiter(chain.from_iterable(found.ids), np.int64, int(length.sum()))
    return Words(pa.array(list(found.vocab), pa.string()), length, number)


def counted(words: Words) -> tuple[Numbers, Numbers, Numbers]:
    """(word, document, times) of every word in a document, by word and then by document."""
    documents = len(words.length)
    document = np.repeat(np.arange(documents), words.length)
    pair, times = np.unique(words.number * documents + document, return_counts=True)
    word, document = np.divmod(pair, max(1, documents))
    return word, document, times


def statistics(unit: int, words: Words) -> Statistics:
    """What the texts of one unit tell."""
    word, _, _ = counted(words)
    documents = np.bincount(word, minlength=len(words.words))
    rows = [[unit], [len(words.length)], [int(words.length.sum())]]
    frequency = [words.words, pa.array(documents, pa.int64())]
    return Statistics(pa.table(rows, schema=_ROWS), pa.table(frequency, schema=_FREQUENCY))


def joined(some: Sequence[Statistics]) -> Statistics:
    """What the units of all of them tell together; of none, nothing."""
    rows = pa.concat_tables([_ROWS.empty_table(), *(each.rows for each in some)])
    every = pa.concat_tables([_FREQUENCY.empty_table(), *(each.frequency for each in some)])
    summed = every.group_by("word").aggregate([("documents", "sum")]).sort_by("word")
    frequency = pa.table([summed["word"], summed["documents_sum"]], schema=_FREQUENCY)
    return Statistics(rows.sort_by("unit"), frequency)
