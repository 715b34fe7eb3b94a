"""What else an operator is, is told by the names of its methods: none may mean two things."""

from collections import Counter

from operators import base
from operators.aggregate.aggregate import Aggregate
from operators.base import LearnsByParts, Merges
from operators.quantize.quantize import Quantize

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
