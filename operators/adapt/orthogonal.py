"""A rotation between two spaces, from paired vectors (Procrustes)."""

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic.dataclasses import dataclass

from operators.adapt.protocol import Pairs
from operators.base import STRICT
from operators.quantize.kernels import Matrix
from operators.quantize.protocol import Artefact


@dataclass(frozen=True, config=STRICT)
class Orthogonal:
    """e' = e W with W = A B^T of the thin singular value decomposition source^T target = A S B^T.

    W has orthonormal columns, or orthonormal rows where the target's space is the larger one: of
    all such W it makes the sum of the pairs' dot products greatest. Between spaces of the same
    dimensions it keeps every length and angle.
    """

    name: ClassVar[str] = "orthogonal"

    def fit(self, pairs: Pairs) -> dict[str, npt.NDArray[Any]]:
        products = pairs.source.astype(np.float64).T @ pairs.target.astype(np.float64)
        left, _, right = np.linalg.svd(products, full_matrices=False)
        return {"matrix": np.ascontiguousarray(left @ right, np.float32)}

    def dims(self, artefact: Artefact) -> tuple[int, int]:
        rows, columns = artefact["matrix"].shape
        return rows, columns

    def apply(self, matrix: Matrix, artefact: Artefact) -> Matrix:
        return multiplied(matrix, artefact["matrix"])


def multiplied(matrix: Matrix, by: Matrix) -> Matrix:
    """The product in double precision: a row's bits do not depend on the rows beside it."""
    product: Matrix = (matrix.astype(np.float64) @ by.astype(np.float64)).astype(np.float32)
    return product
