"""Ways to go on without embedding again: each a chain of maps, fitted on one part of the sample."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from operators.adapt.adder import Adder
from operators.adapt.compatibility import Quality, Violated, quality, violated
from operators.adapt.lengths import unit_length
from operators.adapt.linear import Linear
from operators.adapt.orthogonal import Orthogonal
from operators.adapt.protocol import Pairs, SpaceMap
from operators.errors import TableError
from operators.quantize.artefact import packed
from operators.quantize.kernels import Matrix
from pipelines.compat.split import Asked, Split
from pipelines.compat.tables import Shared

FEWEST = 32
"""Query-document pairs that an adder is fitted on at least."""
_OTHERS = 4096
"""Documents that an adder learns to keep away from, at most."""

Side = Literal["old documents", "new queries", "old queries"]


@dataclass(frozen=True)
class Learned:
    """One fitted map: its name in configs and its artefact's bytes."""

    scheme: str
    artefact: bytes


@dataclass(frozen=True, eq=False)
class Candidate:
    """What is mapped and by which maps, and what that gives on queries and documents held out."""

    side: Side
    maps: tuple[Learned, ...]
    quality: Quality
    violated: Violated
    gallery: Matrix
    """What is searched: the old vectors as they are, or mapped into the new space."""

    @property
    def name(self) -> str:
        how = " + ".join(each.scheme for each in self.maps) or "as they are"
        return f"{self.side} {how}"


@dataclass(frozen=True, eq=False)
class Task:
    """The sample, the queries, and which of both is for what."""

    documents: Shared
    asked: Asked
    split: Split

    @property
    def old(self) -> tuple[Matrix, Matrix]:
        """Measured queries and gallery of the old model."""
        return self.asked.old[self.split.queries], self.documents.old[self.split.documents]

    @property
    def new(self) -> tuple[Matrix, Matrix]:
        """The same of the new model."""
        return self.asked.new[self.split.queries], self.documents.new[self.split.documents]

    @property
    def one_dimension(self) -> bool:
        """Whether the vectors of one model can be compared with the other's at all."""
        return bool(self.documents.old.shape[1] == self.documents.new.shape[1])


def candidates(task: Task) -> Iterator[Candidate]:
    """Every way there is, the unmapped one first where the dimensions are the same."""
    if task.one_dimension:
        yield _measured(task, "new queries", ())
    for by in (Orthogonal(), Linear()):
        yield _measured(task, "old documents", (by,))
    for by in (Orthogonal(), Linear()):
        yield _measured(task, "new queries", (by,))
    if len(task.split.pairs[0]) >= FEWEST:
        yield from _by_adders(task)


def _by_adders(task: Task) -> Iterator[Candidate]:
    """The ways that end with an adder, but for those with too few queries to learn from."""
    chains: tuple[tuple[Side, tuple[SpaceMap, ...]], ...] = (
        ("new queries", (Linear(), Adder())),
        ("old queries", (Adder(),)),
    )
    for side, chain in chains:
        try:
            found = _measured(task, side, chain)
        except TableError:  # many answers of few queries are many pairs
            continue
        yield found


def _measured(task: Task, side: Side, chain: tuple[SpaceMap, ...]) -> Candidate:
    """Fit a chain, apply it, and compare with the old model's queries in the old vectors."""
    old_queries, old = task.old
    new_queries, _ = task.new
    maps: list[Learned] = []
    learned = {"old documents": old, "new queries": new_queries, "old queries": old_queries}[side]
    before = _fitted(task, side)
    for by in chain:
        pairs = _pairs(task, side, by, before)
        arrays = by.fit(pairs)
        maps.append(Learned(by.name, packed(arrays)))
        learned = unit_length(by.apply(learned, arrays))
        before = unit_length(by.apply(before, arrays))
    queries = new_queries if side == "old documents" else learned
    gallery = learned if side == "old documents" else old
    found = quality(queries, gallery, task.split.judged)
    broken = violated((queries, gallery), (old_queries, old), task.split.judged)
    return Candidate(side, tuple(maps), found, broken, gallery)


def _fitted(task: Task, side: Side) -> Matrix:
    """Of the part that maps learn from, one row a pair: what the chain's next map is given."""
    query, document = task.split.pairs
    if side == "old documents":
        return task.documents.old[document]
    return (task.asked.old if side == "old queries" else task.asked.new)[query]


def _pairs(task: Task, side: Side, by: SpaceMap, queries: Matrix) -> Pairs:
    """What a map learns from: the same documents in both spaces, or queries and their answers."""
    fitted = task.split.fit_documents
    old, new = task.documents.old[fitted], task.documents.new[fitted]
    if isinstance(by, Adder):
        answers = task.documents.old[task.split.pairs[1]]
        return Pairs(queries, answers, np.ascontiguousarray(old[:_OTHERS]))
    return Pairs(old, new) if side == "old documents" else Pairs(new, old)
