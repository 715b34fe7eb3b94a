"""Any linear map between two spaces, from paired vectors (ridge regression)."""

from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field
from pydantic.dataclasses import dataclass

from operators.adapt.lengths import unit_length
from operators.adapt.orthogonal import multiplied
from operators.adapt.protocol import Pairs
from operators.base import STRICT
from operators.errors import TableError
from operators.quantize.kernels import Matrix
from operators.quantize.protocol import Artefact

_RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_HELD_OUT = 5
"""Every fifth pair chooses the ridge."""


@dataclass(frozen=True, config=STRICT)
class Linear:
    """e' = e W with W = (X^T X + ridge t I)^-1 X^T Y, t the mean of the diagonal of X^T X.

    Without a `ridge` it takes the one of five that brings the pairs of a fifth nearest, by the
    mean cosine, when the others are fitted; then all are fitted with it.
    """

    ridge: Annotated[float, Field(gt=0)] | None = None

    name: ClassVar[str] = "linear"

    def fit(self, pairs: Pairs) -> dict[str, npt.NDArray[Any]]:
        if len(pairs.source) < 2 * _HELD_OUT:
            found = f"{len(pairs.source)} pairs; a linear map learns from {2 * _HELD_OUT} or more"
            raise TableError("sample", found)
        ridge = self.ridge if self.ridge is not None else _chosen(pairs)
        return {"matrix": _solved(pairs.source, pairs.target, [ridge])[0]}

    def dims(self, artefact: Artefact) -> tuple[int, int]:
        rows, columns = artefact["matrix"].shape
        return rows, columns

    def apply(self, matrix: Matrix, artefact: Artefact) -> Matrix:
        return multiplied(matrix, artefact["matrix"])


def _chosen(pairs: Pairs) -> float:
    held = np.arange(len(pairs.source)) % _HELD_OUT == 0
    fitted = _solved(pairs.source[~held], pairs.target[~held], list(_RIDGES))
    aim = unit_length(pairs.target[held])
    near = [
        float(np.einsum("nd,nd->n", unit_length(multiplied(pairs.source[held], by)), aim).mean())
        for by in fitted
    ]
    return _RIDGES[int(np.argmax(near))]


def _solved(source: Matrix, target: Matrix, ridges: list[float]) -> list[Matrix]:
    """W for each ridge, by one eigendecomposition."""
    x, y = source.astype(np.float64), target.astype(np.float64)
    values, axes = np.linalg.eigh(x.T @ x)
    turned = axes.T @ (x.T @ y)
    mean = max(float(values.mean()), np.finfo(np.float64).tiny)
    return [
        np.ascontiguousarray(axes @ (turned / (values + ridge * mean)[:, None]), np.float32)
        for ridge in ridges
    ]
