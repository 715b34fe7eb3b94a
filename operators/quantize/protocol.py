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
    coarse: ClassVar[bool]
    """Whether the last bit of a value at a border moves the decoded vector far."""

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


class Unlearned:
    """What a scheme that learns nothing shares."""

    @property
    def learns(self) -> bool:
        return False

    def fit(self, sample: Matrix) -> dict[str, npt.NDArray[Any]]:
        return {}


@runtime_checkable
class Reduces(Protocol):
    """A scheme that learns from any cut of a sample what it learns from the whole.

    `fit(sample)` is `finish` of the merged `partial` of its parts; `merge` is associative and
    commutative to the last bit.
    """

    def partial(self, sample: Matrix) -> dict[str, npt.NDArray[Any]]:
        """What an (n, dim) part of the sample, n > 0, comes to."""
        ...

    def merge(self, one: Artefact, other: Artefact) -> dict[str, npt.NDArray[Any]]:
        """What two parts come to together."""
        ...

    def finish(self, state: Artefact) -> dict[str, npt.NDArray[Any]]:
        """The artefact."""
        ...


def array_of(
    artefact: Artefact, name: str, shape: tuple[int | None, ...]
) -> npt.NDArray[np.float32]:
    """A learned float array; ValueError where the artefact has none of that shape (None: any)."""
    found = artefact.get(name)
    if found is None or found.ndim != len(shape):
        raise ValueError(f"the artefact has no {name} of {len(shape)} axes; another scheme's?")
    if any(want not in {None, size} for want, size in zip(shape, found.shape, strict=True)):
        raise ValueError(f"{name} of shape {found.shape} was learned where {shape} is needed")
    return found
