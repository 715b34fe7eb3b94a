"""What else an operator is, is told by the names of its methods: none may mean two things."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_args, get_type_hints

from operators import base
from operators.aggregate.aggregate import Aggregate
from operators.base import LearnsByParts, Merges
from operators.quantize.quantize import Quantize
from operators.registry import OPERATORS

KINDS = [
    kind
    for kind in vars(base).values()
    if getattr(kind, "_is_protocol", False) and kind.__module__ == base.__name__
]


def test_no_two_kinds_of_operators_share_a_name():
    assert {Merges, LearnsByParts} <= set(KINDS)
    names = Counter(
        name for kind in KINDS for name in {*vars(kind), *kind.__annotations__} if name[0] != "_"
    )
    assert [name for name, times in names.items() if times > 1] == []


def test_a_codec_joins_no_rows_and_an_aggregate_learns_nothing():
    assert isinstance(Quantize(), LearnsByParts)
    assert not isinstance(Quantize(), Merges)
    assert isinstance(Aggregate(), Merges)
    assert not isinstance(Aggregate(), LearnsByParts)


def parts(kind: Any, seen: set[Any]) -> Iterator[Any]:
    """A type, and all dataclasses that its fields and their alternatives name."""
    if kind in seen:
        return
    seen.add(kind)
    if is_dataclass(kind):
        yield kind
        for hint in get_type_hints(kind).values():
            yield from parts(hint, seen)
    for inner in get_args(kind):
        yield from parts(inner, seen)


def kinds_of(hint: Any) -> set[Any]:
    return {hint} | {kind for inner in get_args(hint) for kind in kinds_of(inner)}


def test_a_default_has_the_type_that_a_config_gives_it():
    """60 and 60.0 are equal, and two identities."""
    seen: set[Any] = set()
    found = [each for kind in OPERATORS.values() for each in parts(kind, seen)]
    assert len(found) > 30
    wrong = [
        f"{kind.__name__}.{field.name} = {field.default}"
        for kind in found
        for field in fields(kind)
        for hint in [kinds_of(get_type_hints(kind)[field.name])]
        if float in hint and int not in hint and type(field.default) is int
        if field.default is not MISSING
    ]
    assert wrong == []
