"""Losses that the list-wise targets are made for, to be used by a trainer's own loop.

Scores of the student and targets are (queries, documents) tensors, a list a row in the order of its
triple: the positive, then its negatives. The stored targets carry no gradient. Shorter lists are
filled up behind with scores that are low and finite (-1e4; of -inf comes NaN), and with targets
that count for nothing: 0 for `stabilised`, NaN for `lambda_mrr`.
"""

import torch
from torch import Tensor
from torch.nn import functional as f

_CLAMP = 50.0


def stabilised(scores: Tensor, weights: Tensor, others: Tensor | None = None) -> Tensor:
    """Mean over lists of sum_i w_i x cross-entropy of i over i, all behind it, and `others`.

    `weights` are targets of `llm-embedder`, `scores` cosines over a temperature (0.01 in the
    paper), `others` (queries, m) scores of documents of other lists in the batch. One-hot weights
    make it InfoNCE (arXiv 2310.07554).
    """
    behind = scores.flip(1).logcumsumexp(1).flip(1)
    if others is not None:
        behind = torch.logaddexp(behind, others.logsumexp(1, keepdim=True))
    return (weights * (behind - scores)).sum(1).mean()


def lambda_mrr(scores: Tensor, targets: Tensor) -> Tensor:
    """Mean over pairs with y_i > y_j of |1/rank_i - 1/rank_j| x log(1 + exp(s_j - s_i)).

    Ranks are those of the student's scores now, equal scores in the order of the list; `targets` y
    are those of `udr`. Zero where a list has no such pair (arXiv 2305.04320).
    """
    ranks = scores.detach().argsort(dim=1, descending=True, stable=True).argsort(dim=1) + 1
    gain = 1 / ranks
    weight = (gain.unsqueeze(2) - gain.unsqueeze(1)).abs()
    pair = targets.unsqueeze(2) > targets.unsqueeze(1)
    further = (scores.unsqueeze(1) - scores.unsqueeze(2)).clamp(-_CLAMP, _CLAMP)
    return (weight * f.softplus(further))[pair].sum() / pair.sum().clamp(min=1)
