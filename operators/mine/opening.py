"""An operator's indexes opened: parts in this process, or parts that are asked elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from operators.base import Ask
from operators.mine import dense
from operators.mine.index import Index, Part, Parts

if TYPE_CHECKING:
    from operators.mine.mine import Mine
    from operators.mine.sources import Dense

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


def parts(mine: "Mine", part: int, of: int, *, resident: bool) -> list[Part]:
    """Part `part` of `of` of each source's index, the dense ones first."""
    return [dense.open_part(_described(each), part, of, resident=resident) for each in mine.dense]


def indexes(mine: "Mine", ask: Ask, depth: int) -> tuple[Index, ...]:
    """Each source's index over all of its parts, to be searched for `depth` candidates."""
    return tuple(
        Parts(_One(ask, place), (each.rescored or _RESCORED * depth) if each.coarse else 0)
        for place, each in enumerate(mine.dense)
    )


def _described(each: "Dense") -> dense.DenseIndex:
    return dense.describe(each.vectors.uri, each.vectors.version, each.column, each.finest)
