"""The audit of a negatives table in one pass over its files, in memory that they do not grow."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from operators.arrays import to_ragged, whole
from operators.mine.case import place_of
from operators.mine.draws import keys, mixed
from operators.mine.pool import Places

pc: Any = pyarrow.compute  # the stubs do not know list functions

BUCKETS = (10, 20, 50, 100, 200, 500)
"""Ranks up to which selected negatives are counted together."""
SAMPLES = 50


@dataclass(frozen=True)
class Example:
    """A (query, document) pair to be read, with the places of both texts."""

    query_id: str
    query_file: str
    query_row: int
    query_hash: str
    """Hex content_hash of the query, as of the document below."""
    document_id: str
    document_file: str
    document_row: int
    document_hash: str
    score: float
    why: str
    """The rule that dropped it, or the sources that proposed it."""


@dataclass
class Audit:
    """Sums over all queries of a negatives table; ratios are made when it is told."""

    queries: int = 0
    short: int = 0
    """Queries with fewer candidates left than negatives asked for."""
    candidates: int = 0
    """Proposed before the rules."""
    negatives: int = 0
    """Selected, those that fill up included."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Candidates by the first rule that dropped them, in the order of the rules."""
    sources: Counter[str] = field(default_factory=Counter)
    ranks: Counter[str] = field(default_factory=Counter)
    masked: int = 0
    """Positives hidden to see what becomes of them."""
    masked_found: int = 0
    masked_left: Counter[str] = field(default_factory=Counter)
    """Of the hidden positives, left after each rule."""
    masked_mined: int = 0
    kept_examples: tuple[Example, ...] = ()
    dropped_examples: tuple[Example, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return asdict(self) | {
            name: dict(getattr(self, name))
            for name in ("dropped", "sources", "ranks", "masked_left")
        }

    def lines(self) -> list[str]:
        """For a reader, without the examples."""
        told = [
            f"queries: {self.queries:,}, of them short of negatives: {self.short:,}",
            f"candidates: {self.candidates:,}, negatives: {self.negatives:,}",
        ]
        for rule, count in self.dropped.items():
            told.append(f"dropped by {rule}: {_of(count, self.candidates)}")
        for source, count in self.sources.most_common():
            told.append(f"proposed by {source}: {_of(count, self.negatives)}")
        for bucket, count in self.ranks.items():
            told.append(f"rank {bucket}: {_of(count, self.negatives)}")
        return told + self._masked_lines()

    def _masked_lines(self) -> list[str]:
        if not self.masked:
            return ["false negatives: no query has two positives, so nothing could be masked"]
        told = [f"masked positives proposed: {_of(self.masked_found, self.masked)}"]
        for rule, count in self.masked_left.items():
            told.append(f"masked positives left after {rule}: {_of(count, self.masked)}")
        told.append(f"masked positives mined: {_of(self.masked_mined, self.masked)}")
        return told


def summary(tables: Iterable[pa.Table], seed: int = 0) -> Audit:
    """Add up tables of negatives; neither their cutting nor the order of queries changes it."""
    audit = Audit()
    kept: list[_Drawn] = []
    dropped: list[_Drawn] = []
    for table in tables:
        _add_counts(audit, table)
        kept = _least(kept + _sample(table, "negative_", "sources", seed))
        dropped = _least(dropped + _sample(table, "dropped_", "dropped_by", seed))
    audit.kept_examples = tuple(example for _, _, example in kept)
    audit.dropped_examples = tuple(example for _, _, example in dropped)
    return audit


_Drawn = tuple[int, int, Example]
"""Place among the query's own examples, the query's key, the example; the least are shown."""


def _add_counts(audit: Audit, table: pa.Table) -> None:
    audit.queries += len(table)
    audit.short += _sum(table["short"])
    audit.candidates += _sum(table["candidates"])
    audit.masked += _sum(table["masked"])
    audit.masked_found += _sum(table["masked_found"])
    audit.masked_mined += _sum(table["masked_mined"])
    rules = _flat(table["dropped_rules"])
    for counter, name in ((audit.dropped, "dropped_counts"), (audit.masked_left, "masked_left")):
        _tally(counter, rules, to_ragged(table[name])[0])
    sources = _flat(table["sources"])
    audit.negatives += len(sources)
    _tally(audit.sources, sources, np.ones(len(sources), np.int64))
    ranks = to_ragged(table["negative_ranks"])[0][np.asarray(pc.not_equal(sources, "random"))]
    buckets = np.searchsorted(BUCKETS, ranks, side="right")
    for number, count in enumerate(np.bincount(buckets, minlength=len(BUCKETS) + 1)):
        audit.ranks[_bucket(number)] += int(count)


def _tally(counter: Counter[str], names: pa.Array, counts: npt.NDArray[Any]) -> None:
    """Add counts to their names, in the order in which the names first stand."""
    encoded = pc.dictionary_encode(names)
    sums = np.bincount(np.asarray(encoded.indices), counts, minlength=len(encoded.dictionary))
    for name, total in zip(encoded.dictionary, sums, strict=True):
        counter[name.as_py()] += int(total)


def _sample(table: pa.Table, prefix: str, why: str, seed: int) -> list[_Drawn]:
    """A table's examples that may be among those shown: only queries with the least keys."""
    drawn = keys(whole(table["query_id"]), seed, prefix)
    some = np.flatnonzero(np.asarray(pc.list_value_length(table[why])) > 0)
    chosen = np.sort(some[np.argsort(drawn[some], kind="stable")[:SAMPLES]])
    rows, own = table.take(chosen), drawn[chosen]
    ids, offsets = _flat(rows[f"{prefix}ids"]), to_ragged(rows[f"{prefix}ids"])[1]
    parent = np.repeat(np.arange(len(rows)), np.diff(offsets))
    order = np.lexsort((mixed(own[parent], keys(ids, 0)), parent))
    flat = [_flat(rows[name]) for name in _names(prefix, why)]
    place = place_of(parent)
    shown = [number for number in range(len(order)) if place[number] < SAMPLES]
    return [
        (int(place[number]), int(own[parent[number]]), _example(rows, flat, parent, order[number]))
        for number in shown
    ]


def _example(rows: pa.Table, flat: list[pa.Array], parent: Places, value: int) -> Example:
    query = int(parent[value])
    document, file, row, content_hash, score, reason = (one[int(value)].as_py() for one in flat)
    return Example(
        query_id=rows["query_id"][query].as_py(),
        query_file=rows["source_file"][query].as_py(),
        query_row=rows["source_row"][query].as_py(),
        query_hash=rows["content_hash"][query].as_py().hex(),
        document_id=document,
        document_file=file,
        document_row=row,
        document_hash=content_hash.hex(),
        score=score,
        why=reason,
    )


def _names(prefix: str, why: str) -> list[str]:
    return [*(f"{prefix}{name}" for name in ("ids", "files", "rows", "hashes", "scores")), why]


def _least(drawn: list[_Drawn]) -> list[_Drawn]:
    return sorted(drawn, key=lambda one: (*one[:2], one[2].document_id))[:SAMPLES]


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return whole(pc.list_flatten(column))


def _sum(column: pa.ChunkedArray) -> int:
    return int(pc.sum(column).as_py() or 0)


def _bucket(number: int) -> str:
    low = BUCKETS[number - 1] + 1 if number else 1
    return f"{low}-{BUCKETS[number]}" if number < len(BUCKETS) else f"{low}-"


def _of(count: int, total: int) -> str:
    return f"{count:,} ({count / total:.2%})" if total else f"{count:,}"
