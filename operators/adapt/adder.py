"""A low-rank residual that moves queries towards what answers them; the corpus stays as it is."""

from dataclasses import dataclass as plain
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field
from pydantic.dataclasses import dataclass

from operators.adapt.orthogonal import multiplied
from operators.adapt.protocol import Pairs
from operators.adapt.shift import check_one_space
from operators.base import STRICT
from operators.errors import TableError
from operators.quantize.kernels import Matrix, Rows
from operators.quantize.protocol import Artefact

if TYPE_CHECKING:
    from torch import Tensor

Marks = npt.NDArray[np.bool_]

_FEWEST = 10
"""Distinct sources it learns from at least; every fifth of them says when to stop."""
_HELD_OUT = 5
_BATCH = 128


@dataclass(frozen=True, config=STRICT)
class Adder:
    """e' = e + U V e, learned by telling each source's targets from all other vectors.

    U starts at zero, so the map starts as none at all; it ends as it was when the loss of the
    sources that were held out was least. The loss is InfoNCE over cosines, the other targets of the
    same source left out of it. Only U and V learn, by AdamW.
    """

    rank: Annotated[int, Field(ge=1)] = 32
    temperature: Annotated[float, Field(gt=0)] = 0.05
    rate: Annotated[float, Field(gt=0)] = 3e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    epochs: Annotated[int, Field(ge=0)] = 100
    """At most; 0 leaves the map as none at all."""
    patience: Annotated[int, Field(ge=1)] = 5
    """Epochs without a lower loss of the held-out sources before it stops."""
    seed: int = 0

    name: ClassVar[str] = "adder"

    def fit(self, pairs: Pairs) -> dict[str, npt.NDArray[Any]]:
        check_one_space(self.name, pairs)
        task = _task(pairs)
        if len(task.sources) < _FEWEST:
            found = f"{len(task.sources)} distinct sources; adder learns from {_FEWEST} or more"
            raise TableError("sample", found)
        up, down = self._learned(task)
        return {"up": up, "down": down}

    def dims(self, artefact: Artefact) -> tuple[int, int]:
        return artefact["down"].shape[1], artefact["up"].shape[0]

    def apply(self, matrix: Matrix, artefact: Artefact) -> Matrix:
        residual = multiplied(multiplied(matrix, artefact["down"].T), artefact["up"].T)
        moved: Matrix = matrix + residual
        return moved

    def _learned(self, task: "_Task") -> tuple[Matrix, Matrix]:
        """U (dim, rank) and V (rank, dim)."""
        import torch

        random = torch.Generator().manual_seed(self.seed)
        dim = task.sources.shape[1]
        down = (torch.randn(self.rank, dim, generator=random) / dim**0.5).requires_grad_()
        up = torch.zeros(dim, self.rank).requires_grad_()
        order = torch.randperm(len(task.sources), generator=random)
        held, rest = order[::_HELD_OUT], order[torch.arange(len(order)) % _HELD_OUT != 0]
        learner = torch.optim.AdamW([up, down], lr=self.rate, weight_decay=self.weight_decay)
        best, since = self._loss(task, held, up, down).item(), 0
        kept = up.detach().clone(), down.detach().clone()
        for _ in range(self.epochs):
            shuffled = rest[torch.randperm(len(rest), generator=random)]
            for batch in torch.split(shuffled, _BATCH):
                learner.zero_grad()
                self._loss(task, batch, up, down).backward()  # type: ignore[no-untyped-call]  # torch's own
                learner.step()
            with torch.no_grad():
                loss = self._loss(task, held, up, down).item()
            if loss < best:
                best, since, kept = loss, 0, (up.detach().clone(), down.detach().clone())
            else:
                since += 1
            if since == self.patience:
                break
        return kept[0].numpy(), kept[1].numpy()

    def _loss(self, task: "_Task", rows: "Tensor", up: "Tensor", down: "Tensor") -> "Tensor":
        """Mean over the pairs of those sources of log(1 + sum of exp(other - target))."""
        import torch
        from torch.nn import functional as f

        vectors = torch.from_numpy(task.sources)[rows]
        moved = f.normalize(vectors + vectors @ down.T @ up.T, dim=1)
        scores = moved @ torch.from_numpy(task.gallery).T / self.temperature
        positive = torch.from_numpy(task.positive(rows.numpy()))
        others = scores.masked_fill(positive, -torch.inf).logsumexp(dim=1, keepdim=True)
        return f.softplus(others - scores)[positive].mean()


@plain(frozen=True, eq=False)
class _Task:
    """Distinct sources, the distinct vectors they are scored against, and which belong together."""

    sources: Matrix
    gallery: Matrix
    """Of length one."""
    pairs: tuple[Rows, Rows]
    """Source and gallery row of each pair."""

    def positive(self, rows: Rows) -> Marks:
        """(len(rows), gallery) marks of what belongs to those sources."""
        place = np.full(len(self.sources), -1)
        place[rows] = np.arange(len(rows))
        source, target = self.pairs
        here = place[source] >= 0
        marks = np.zeros((len(rows), len(self.gallery)), np.bool_)
        marks[place[source[here]], target[here]] = True
        return marks


def _task(pairs: Pairs) -> _Task:
    sources, source = np.unique(pairs.source, axis=0, return_inverse=True)
    every = np.concatenate([pairs.target, pairs.others]) if len(pairs.others) else pairs.target
    gallery, target = np.unique(every, axis=0, return_inverse=True)
    lengths = np.maximum(np.linalg.norm(gallery, axis=1, keepdims=True), 1e-12)
    found = source.reshape(-1), target.reshape(-1)[: len(pairs.target)]
    return _Task(sources, (gallery / lengths).astype(np.float32), found)
