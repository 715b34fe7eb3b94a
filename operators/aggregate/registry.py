"""The ways from passages to a document by name: one line each."""

from collections.abc import Callable
from typing import NamedTuple

from operators.aggregate import gde, maximum, mean
from operators.aggregate.states import Groups, States


class Method(NamedTuple):
    """How the states of a document's parts join; the order and the cut into parts do not matter."""

    joined: Callable[[States, Groups], States]
    deviates: bool = False
    """It also tells how the passages deviate."""


METHODS: dict[str, Method] = {
    "mean": Method(mean.joined),
    "max": Method(maximum.joined),
    "gde": Method(gde.joined, deviates=True),
}
