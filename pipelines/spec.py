"""A pipeline as data: phases from a source to one table, steps, gates and a budget."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass as plain
from dataclasses import field
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from operators.base import STRICT, Operator, Resources
from operators.text.source import Source

Share = Annotated[float, Field(ge=0)]


@plain(frozen=True)
class Step:
    """An operator and what it runs on; only the operator is identity."""

    operator: Operator
    resources: Resources = field(default_factory=Resources)


@dataclass(frozen=True, config=STRICT)
class Canaries:
    """Queries whose documents a new version must find as well as the last one did."""

    queries: Annotated[str, Field(min_length=1)]
    """JSON lines with a `text` and its `expected` ids of documents; an `id` is for the reader."""
    k: Annotated[int, Field(ge=1, le=100)] = 10
    """How many nearest rows a document must be among."""
    tolerance: Annotated[float, Field(ge=0, le=1)] = 0.02
    """How far recall may fall below what the last version recorded for the same queries."""
    min_recall: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Least recall, whatever the last version had."""


@dataclass(frozen=True, config=STRICT)
class Gate:
    """What a candidate version must satisfy before it becomes the table (DESIGN §4b)."""

    min_rows: Share = 0.0
    """Least rows: a share of the source's rows up to 1, a number above.

    Rows that stay from the last version count as read and as there.
    """
    norm: tuple[float, float] | None = None
    """Bounds of every vector's length, before quantisation."""
    max_bad_rows: Share = 0.01
    """Most quarantined rows: a share of the source's rows below 1, a number from 1 on; 0 is none.

    Rows that stay from the last version count as read.
    """
    max_bad_units: Annotated[int, Field(ge=0)] = 0
    """Most units that could not be read or processed at all."""
    max_deleted: Share = 0.5
    """Most ids of the last version that may go: a share of its rows below 1, a number from 1 on."""
    sample: Annotated[int, Field(ge=0, le=10_000)] = 16
    """Rows encoded again, of those that kept their vectors; they must match. 0 is none."""
    canaries: Canaries | None = None
    """Queries that must still find what they found."""


@dataclass(frozen=True, config=STRICT)
class Write:
    """The table a phase commits, its gate, and how long replaced versions stay readable."""

    table: str
    gate: Gate = Gate()
    allow_careless_store: bool = False
    """Write although the store lets two conditional writes win; recorded in the commit."""
    keep_days: Annotated[int, Field(ge=1)] = 30
    """Days that replaced files stay readable; a changed number is set by the next commit."""


@plain(frozen=True)
class Phase:
    """One source, its steps, and the one table version they commit."""

    name: str
    read: Source
    steps: tuple[Step, ...]
    write: Write


@plain(frozen=True)
class Asked:
    """How a run was asked for; what it decides of the table shows in a fingerprint."""

    nonce: str = ""
    """Makes a new run of work that is done."""
    date: str = ""
    """Logical date of a scheduled run: a label that its commit records."""
    forced_by: str = ""
    """Who publishes whatever the gate says; empty: the gate decides."""
    forced_because: str = ""
    """Their reason."""
    refit: bool = False
    """Steps learn anew what they have learned before."""


BY_HAND = Asked()
"""Asked for by nobody in particular: no label, no force."""


@dataclass(frozen=True, config=STRICT)
class Budget:
    """What a run may cost, in the currency of `price_per_hour`."""

    price_per_hour: Annotated[float, Field(ge=0)] = 0.0
    """Price of one worker of the slowest step for an hour."""
    max_cost: Annotated[float, Field(ge=0)] = 0.0
    """A dearer plan asks before it runs, and a run stops once it has cost more; 0 does neither."""

    @model_validator(mode="after")
    def _limit_has_a_price(self) -> Self:
        if self.max_cost and not self.price_per_hour:
            raise ValueError("max_cost needs price_per_hour, or nothing has a cost")
        return self


@plain(frozen=True)
class Pipeline:
    """Phases in the order they run; a phase may read what an earlier one committed."""

    phases: tuple[Phase, ...]
    budget: Budget = field(default_factory=Budget)
    name: str = ""
    """What its config file is called; metrics are labelled with it."""


def workers_of(steps: Iterable[Step]) -> Counter[str]:
    """The workers of the steps that load a model, by the steps' name: equal names add up."""
    workers: Counter[str] = Counter()
    for step in steps:
        if step.operator.loads_model:
            workers[step.operator.name] += step.resources.most
    return workers
