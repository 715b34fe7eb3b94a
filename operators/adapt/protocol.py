"""What a map is: fitted on pairs of vectors, then applied to any vector of the first space."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from operators.quantize.kernels import Matrix
from operators.quantize.protocol import Artefact


def _none() -> Matrix:
    return np.zeros((0, 0), np.float32)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rows of (n, from) `source`, and where in the other space each should come to lie."""

    source: Matrix
    target: Matrix
    """(n, to). A source row may come several times, with several targets."""
    others: Matrix = field(default_factory=_none)
    """(m, to) more vectors of the target's space, for maps that learn what to keep away from."""


@runtime_checkable
class SpaceMap(Protocol):
    """A frozen dataclass that maps vectors, row by row, given what it learned."""

    name: ClassVar[str]
    """The map's name in configs."""

    def fit(self, pairs: Pairs) -> dict[str, npt.NDArray[Any]]:
        """Learn from pairs; TableError where there are too few, ContractError for dimensions."""
        ...

    def dims(self, artefact: Artefact) -> tuple[int, int]:
        """Dimensions of the vectors it takes and gives; KeyError for another map's artefact."""
        ...

    def apply(self, matrix: Matrix, artefact: Artefact) -> Matrix:
        """Map (n, from) finite vectors to (n, to), not yet of length one."""
        ...
