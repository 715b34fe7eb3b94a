"""A small network over the vectors of a pair, which learns what a teacher says of the pair."""

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from operators.adapt.orthogonal import multiplied
from operators.quantize.kernels import Matrix
from operators.quantize.protocol import Artefact

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

Scores = npt.NDArray[np.float32]
Order = Literal["one", "both"]

_BLOCK = 4096
"""Pairs whose features are held at once."""
_BATCH = 256
_HELD_OUT = 5
_DECAY = 0.01


@dataclass(frozen=True)
class Learning:
    """How a head is fitted."""

    hidden: int
    rate: float
    epochs: int
    patience: int
    seed: int
    order: Order


def features(query: Matrix, document: Matrix) -> Matrix:
    """[u; v; u x v; |u - v|]: (n, 4 dim) of two (n, dim) matrices."""
    parts = [query, document, query * document, np.abs(query - document)]
    return np.concatenate(parts, axis=1)


def scores(query: Matrix, document: Matrix, head: Artefact, order: Order = "one") -> Scores:
    """The (n,) logits of pairs; with `both`, the mean over the pair and the pair turned round."""
    found = np.zeros(len(query), np.float32)
    for start in range(0, len(query), _BLOCK):
        rows = slice(start, start + _BLOCK)
        found[rows] = _of(query[rows], document[rows], head)
        if order == "both":
            found[rows] = (found[rows] + _of(document[rows], query[rows], head)) / 2
    return found


def fit(
    query: Matrix, document: Matrix, logits: Scores, group: npt.NDArray[np.int64], how: Learning
) -> dict[str, npt.NDArray[np.float32]]:
    """The head with the least squared error on held-out groups (every fifth), by AdamW.

    `group` numbers the query of each pair from 0. It starts at the logits' mean; `held_out` is the
    share of their variance that it explains there. Features are held of the held-out pairs at most.
    """
    import torch

    held = group % _HELD_OUT == 0
    mean, spread = float(logits.mean()), float(logits.std()) or 1.0
    wanted = torch.from_numpy(((logits - mean) / spread).astype(np.float32))
    with torch.random.fork_rng():
        torch.manual_seed(how.seed)
        last = torch.nn.Linear(how.hidden, 1)
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)
        first = torch.nn.Linear(4 * query.shape[1], how.hidden)
        head = torch.nn.Sequential(first, torch.nn.ReLU(), last)

        def loss(rows: "Tensor") -> "Tensor":
            u, v = query[rows.numpy()], document[rows.numpy()]
            found = head(torch.from_numpy(features(u, v)))
            if how.order == "both":
                found = (found + head(torch.from_numpy(features(v, u)))) / 2
            return torch.nn.functional.mse_loss(found[:, 0], wanted[rows])

        rest, away = (torch.from_numpy(np.flatnonzero(marks)) for marks in (~held, held))
        least = _descend(head, loss, (rest, away), how)
    kept = {name: each.detach().numpy() for name, each in head.state_dict().items()}
    variance = float(wanted[away].var(correction=0)) or 1.0
    return {
        "first.weight": kept["0.weight"],
        "first.bias": kept["0.bias"],
        "second.weight": kept["2.weight"][0] * np.float32(spread),
        "second.bias": kept["2.bias"] * np.float32(spread) + np.float32(mean),
        "held_out": np.array([1 - least / variance], np.float32),
    }


def _descend(
    head: Any, loss: "Callable[[Tensor], Tensor]", rows: "tuple[Tensor, Tensor]", how: Learning
) -> float:
    """Train on the first rows until the second cost no less; leave the best, and what it cost."""
    import torch

    rest, held = rows
    learner = torch.optim.AdamW(head.parameters(), lr=how.rate, weight_decay=_DECAY)
    with torch.no_grad():
        least, since, best = loss(held).item(), 0, deepcopy(head.state_dict())
    for _ in range(how.epochs):
        for batch in torch.split(rest[torch.randperm(len(rest))], _BATCH):
            learner.zero_grad()
            loss(batch).backward()  # type: ignore[no-untyped-call]  # torch's own
            learner.step()
        with torch.no_grad():
            cost = loss(held).item()
        since += 1
        if cost < least:
            least, since, best = cost, 0, deepcopy(head.state_dict())
        if since == how.patience:
            break
    head.load_state_dict(best)
    return least


def _of(query: Matrix, document: Matrix, head: Artefact) -> Scores:
    inner = multiplied(features(query, document), head["first.weight"].T) + head["first.bias"]
    weight = head["second.weight"][:, None]
    found: Scores = multiplied(np.maximum(inner, 0), weight)[:, 0] + head["second.bias"]
    return found
