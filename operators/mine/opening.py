"""An operator's indexes opened: parts in this process, or parts that are asked elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from operators.base import Ask, ParallelMap
from operators.mine import ann, bm25, dense, late, lexical
from operators.mine.index import Index, Part, Parts
from operators.mine.words import Statistics, joined

if TYPE_CHECKING:
    from operators.mine.mine import Mine
    from operators.mine.sources import Dense, Late, Lexical

_FEW = 48 << 20
"""Values of a part's vectors up to which they are kept, not read again: 192 MiB of floats."""
_RESCORED = 4
"""Candidates of a coarser column for each that is asked for, ranked again by the finest."""


@dataclass(frozen=True, eq=False)
class Here:
    """Parts in this process."""

    parts: Sequence[Part]

    def __call__(self, place: int, method: str, *arguments: Any) -> list[Any]:
        return [getattr(self.parts[place], method)(*arguments)]


@dataclass(frozen=True, eq=False)
class _One:
    """`ask` of one place."""

    ask: Ask
    place: int

    def __call__(self, method: str, *arguments: Any) -> list[Any]:
        return self.ask(self.place, method, *arguments)


@dataclass(frozen=True)
class _Count:
    """The first pass over one part's texts."""

    index: bm25.Bm25Index
    of: int

    def __call__(self, part: int) -> Statistics:
        return bm25.count(self.index, part, self.of)


def surveyed(mine: "Mine", of: int, parallel: ParallelMap) -> Statistics | None:
    """BM25's statistics of the whole collection; None where it is no source."""
    if mine.bm25 is None:
        return None
    return joined(list(parallel(_Count(_texts(mine), of), range(of))))


def parts(
    mine: "Mine", known: Statistics | None, part: int = 0, of: int = 1, *, resident: bool = False
) -> list[Part]:
    """Part `part` of `of` of each source's index, in the order of their names."""
    opened: list[Part] = [_dense(each, part, of, resident=resident) for each in mine.dense]
    opened += [_lexical(each, part, of) for each in mine.lexical]
    opened += [_late(each, part, of) for each in mine.late]
    if known is not None:
        opened.append(bm25.open_part(_texts(mine), known, part, of))
    return opened


def indexes(
    mine: "Mine", ask: Ask, depth: int, method: Literal["search", "exactly"] = "search"
) -> tuple[Index, ...]:
    """Each source's index over all of its parts, to be searched for `depth` candidates."""
    rescored = [(each.rescored or _RESCORED * depth) if each.coarse else 0 for each in mine.dense]
    rescored += [0] * (len(mine.index_names) - len(mine.dense))
    return tuple(Parts(_One(ask, place), count, method) for place, count in enumerate(rescored))


def exact(mine: "Mine", ask: Ask, place: int, depth: int) -> Index:
    """A dense source searched exactly and ranked alike, whatever approximate index it has."""
    return indexes(mine, ask, depth, "exactly")[place]


def _dense(each: "Dense", part: int, of: int, *, resident: bool) -> Part:
    index = dense.describe(each.vectors.uri, each.vectors.version, each.column, each.finest)
    if each.approximate is not None:
        return ann.open_part(index, each.approximate, part, of)
    small = len(index) * index.dim <= _FEW * of
    return dense.open_part(index, part, of, resident=resident or small)


def _lexical(each: "Lexical", part: int, of: int) -> Part:
    index = lexical.lexical_index(each.vectors.uri, each.vectors.version, each.dense)
    return lexical.open_part(index, part, of)


def _late(each: "Late", part: int, of: int) -> Part:
    return late.open_part(late.late_index(each.vectors.uri, each.vectors.version), part, of)


def _texts(mine: "Mine") -> bm25.Bm25Index:
    assert mine.bm25 is not None
    assert mine.documents is not None
    chosen = mine.bm25
    return bm25.Bm25Index(mine.documents, chosen.units, chosen.k1, chosen.b, chosen.stopwords)
