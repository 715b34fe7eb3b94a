"""One vector added to all: the mean way from a source to its target."""

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic.dataclasses import dataclass

from operators.adapt.protocol import Pairs
from operators.base import STRICT
from operators.errors import ContractError
from operators.quantize.kernels import Matrix
from operators.quantize.protocol import Artefact


@dataclass(frozen=True, config=STRICT)
class Shift:
    """e' = e + mean(target - source), within one space."""

    name: ClassVar[str] = "shift"

    def fit(self, pairs: Pairs) -> dict[str, npt.NDArray[Any]]:
        check_one_space(self.name, pairs)
        apart = pairs.target.astype(np.float64) - pairs.source
        return {"shift": apart.mean(axis=0).astype(np.float32)}

    def dims(self, artefact: Artefact) -> tuple[int, int]:
        (dim,) = artefact["shift"].shape
        return dim, dim

    def apply(self, matrix: Matrix, artefact: Artefact) -> Matrix:
        moved: Matrix = matrix + artefact["shift"]
        return moved


def check_one_space(name: str, pairs: Pairs) -> None:
    """ContractError unless source and target have the same dimensions, and there are some."""
    ends = pairs.source.shape[1], pairs.target.shape[1]
    if ends[0] != ends[1] or not len(pairs.source):
        found = f"{len(pairs.source)} pairs of {ends[0]} and {ends[1]} dimensions"
        raise ContractError(name, "embedding", "pairs of vectors of one space", found)
