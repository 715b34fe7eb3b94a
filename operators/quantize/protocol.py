"""What a scheme is: codes for a matrix, and the way back."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.quantize.kernels import Matrix, Vectors

Artefact = Mapping[str, npt.NDArray[Any]]
"""What a scheme learned from a sample, by name; empty where nothing is learned."""


@runtime_checkable
class Scheme(Protocol):
    """A frozen dataclass that turns float vectors into codes, row by row, given its artefact."""

    name: ClassVar[str]
    """The scheme's name in configs and in the metadata of its columns."""

    @property
    def learns(self) -> bool:
        """Whether `fit` must run before `apply`."""
        ...

    def fit(self, sample: Matrix) -> dict[str, npt.NDArray[Any]]:
        """Learn from an (n, dim) sample; an empty dict where there is nothing to learn."""
        ...

    def apply(self, matrix: Matrix, artefact: Artefact) -> dict[str, pa.Array]:
        """Code a finite (n, dim) matrix; one array of n rows for each field, by name."""
        ...

    def fields(self, dim: int, artefact: str) -> list[pa.Field]:
        """The columns `apply` gives; the metadata names scheme, dim and the artefact's digest."""
        ...

    def vectors(self, table: pa.Table, artefact: Artefact) -> Vectors:
        """Open the codes of a table for search."""
        ...

    def decode(self, table: pa.Table, artefact: Artefact) -> npt.NDArray[np.float32]:
        """The (n, dim) floats that the codes stand for."""
        ...
