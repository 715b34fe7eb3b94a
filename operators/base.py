"""The one concept of a step: an operator is frozen data; what it loads lives in `open`."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import field, fields
from typing import Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable

import pyarrow as pa
from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

Transform = Callable[[pa.Table], pa.Table]
"""Maps a unit's good rows to the bound output schema; it may add `error` to reject rows."""

STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=False, use_attribute_docstrings=True)


def _whole_range(found: object) -> object:
    ends = found if isinstance(found, tuple | list) else (found, found)
    whole = all(isinstance(end, int) and not isinstance(end, bool) for end in ends)
    if len(ends) != 2 or not whole or not 1 <= ends[0] <= ends[1]:
        raise ValueError(f"expected a number from 1 on or [least, most], found {found!r:.60}")
    return found


Batches = Literal["auto", "padded", "varlen", "compiled"]
Workers = Annotated[int | tuple[int, int], BeforeValidator(_whole_range)]


@dataclass(frozen=True, config=STRICT)
class Resources:
    """What a step runs on. Never part of its identity."""

    workers: Workers = 1
    """How many side by side; [least, most] on a cluster that grows."""
    cpus: Annotated[float, Field(gt=0)] = 1.0
    gpus: Annotated[float, Field(ge=0)] = 0.0
    memory: Annotated[int, Field(ge=0)] = 0
    """Heap bytes a worker reserves; 0 leaves it to the runner."""
    device: str = "auto"
    token_budget: Annotated[int, Field(ge=0)] = 0
    """Padded tokens a forward pass; 0 lets the encoder choose for its device."""
    batches: Batches = "auto"
    """padded: rows of a pass have one length. varlen: they lie end to end, told apart in attention.
    auto: the faster of the two on CUDA in half precision, timed at loading; elsewhere padded.
    compiled: lengths are rounded up and torch compiles each shape, with CUDA graphs on CUDA."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Compute threads of one worker; 0 shares the node's cores among its workers."""
    label_selector: dict[str, str] = field(default_factory=dict)
    """Labels of the nodes that may hold a worker, as Ray matches them: {"pool": "gpu"}."""

    @property
    def least(self) -> int:
        """Workers without which a run does not start."""
        return self.workers if isinstance(self.workers, int) else self.workers[0]

    @property
    def most(self) -> int:
        """Workers at the highest."""
        return self.workers if isinstance(self.workers, int) else self.workers[1]


@runtime_checkable
class Operator(Protocol):
    """A frozen dataclass that maps a unit's table to a unit's table."""

    name: ClassVar[str]
    """The key of this operator in a config."""
    version: ClassVar[int]
    """Raised whenever the same fields give another output; part of the fingerprint."""
    loads_model: ClassVar[bool]
    """True: runs in an actor that opens it once. False: a stateless task, fused with its peers."""

    def bind(self, schema: pa.Schema) -> pa.Schema:
        """Check the columns it needs and return the output's schema; ContractError if one lacks."""
        ...

    def open(self, on: Resources = ...) -> AbstractContextManager[Transform]:
        """Load what it needs and yield the transform."""
        ...


@runtime_checkable
class Fitted(Protocol):
    """An operator that learns an artefact from a bounded sample before it can be applied."""

    artefact: str
    """URI of what was learned, a file named by the digest of its content; empty before."""

    @property
    def learns(self) -> bool:
        """Whether these fields need a fit at all."""
        ...

    def fit(self, sample: pa.Table) -> bytes:
        """Learn from the sample (the operator's input rows); safetensors bytes, b"" if nothing."""
        ...


@runtime_checkable
class LearnsByParts(Protocol):
    """A fitted operator that can learn from every row, wherever it lies, by merging small states.

    `merged` is associative and commutative to the last bit: any cut of the rows teaches the same.
    """

    @property
    def reduces(self) -> bool:
        """Whether these fields learn so."""
        ...

    def partial(self, part: pa.Table) -> bytes:
        """The state of some of the operator's input rows; b"" where they teach nothing."""
        ...

    def merged(self, states: Sequence[bytes]) -> bytes:
        """The state of all the rows of several states."""
        ...

    def finished(self, state: bytes) -> bytes:
        """What was learned, as `fit` gives it."""
        ...


@runtime_checkable
class NamesItsFit(Protocol):
    """A fitted operator with fields that the plan fills in: its artefact is pinned by others."""

    @property
    def fitted_as(self) -> str:
        """Digest of the fields of its config that decide what it learns."""
        ...


@runtime_checkable
class Chooses(Protocol):
    """An operator with a field that is chosen by measuring, once, and pinned to the table."""

    @property
    def undecided(self) -> bool:
        """Whether these fields leave the choice open."""
        ...

    def choose(self, sample: pa.Table, on: Resources) -> str:
        """What measures best on the sample (the operator's input rows), on this machine."""
        ...

    def decided(self, choice: str) -> "Operator":
        """The operator with that choice."""
        ...


ParallelMap = Callable[[Callable[[int], Any], Sequence[int]], Iterable[Any]]
"""Applies a function to numbers, somewhere, in their order."""
Ask = Callable[..., list[Any]]
"""`ask(place, method, *arguments)`: what each part of an index answers, in the parts' order."""


@runtime_checkable
class Searches(Protocol):
    """An operator that searches an index whose parts a runner may hold in other processes.

    Its resources count the workers that hold a part each; one more takes the rows through.
    """

    def surveyed(self, of: int, parallel: ParallelMap) -> Any:
        """What every part must know of all `of` parts, found by a first pass over them."""
        ...

    def open_part(self, part: int, of: int, survey: Any) -> Any:
        """Part `part` of `of` in memory: a sequence of objects whose methods `ask` calls."""
        ...

    def open_with(self, ask: Ask, on: Resources) -> AbstractContextManager[Transform]:
        """Yield the transform over parts that lie elsewhere."""
        ...


@runtime_checkable
class Tells(Protocol):
    """An operator whose commit records more than counts."""

    def told(self, tables: Iterable[pa.Table]) -> dict[str, Any]:
        """What the phase's new rows come to, as plain JSON values under names of its own."""
        ...


@runtime_checkable
class Sized(Protocol):
    """An operator that says how large its phase's units are where the config does not."""

    unit_bytes: ClassVar[tuple[int, int]]
    """Smallest and largest unit, in bytes of the source."""


@runtime_checkable
class Accumulates(Protocol):
    """An operator whose phase adds to its table instead of replacing it.

    Rows of one id are then the same row: a later one is dropped, it is not bad.
    """

    accumulates: ClassVar[bool]


@runtime_checkable
class Merges(Protocol):
    """The last step of a phase, whose rows of one id are parts that the run joins to one row."""

    def joined(self, rows: pa.Table) -> pa.Table:
        """One row an id, in the order of the ids' first rows; any cut gives the same, rounded."""
        ...


@runtime_checkable
class RowByRow(Protocol):
    """An operator that makes of each row what it makes of it among any others.

    `of_text`: it gives one row for each, and what it adds is decided by the row's text alone.
    """

    @property
    def of_text(self) -> bool: ...


@runtime_checkable
class HasAsides(Protocol):
    """An operator with fields that are no part of its identity."""

    aside: ClassVar[frozenset[str]]


def identity_fields(operator: Any) -> dict[str, Any]:
    """The fields of an operator that change its output, by name."""
    aside = operator.aside if isinstance(operator, HasAsides) else frozenset()
    names = (field.name for field in fields(operator) if field.name not in aside)
    return {name: getattr(operator, name) for name in names}
