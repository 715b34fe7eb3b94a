"""The tokens that a network has, and others put behind them."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from operators.errors import ModelError, RowError


def table(network: Any) -> Tensor:
    """The (tokens, width) table of a network's input embeddings."""
    weight: Tensor = network.get_input_embeddings().weight
    return weight.detach()


def size(forward: Any) -> int | None:
    """Tokens that the network of a forward pass has; None where that is no network of torch."""
    try:
        return len(table(forward.backend.network))
    except (AttributeError, NotImplementedError):  # no backend, a graph, or no one table
        return None


def check(ids: npt.NDArray[np.int32], known: int | None, model: str) -> None:
    """RowError on an id that a network of so many tokens has not; None is not known."""
    last = int(ids.max(initial=-1))
    if known is not None and last >= known:
        problem = f"a row has the token {last}, and the network has {known:,} tokens"
        raise RowError(model, f"{problem}; its tokenizer.json has too many")


@torch.no_grad()
def add_tokens(network: Any, rows: Tensor, model: str) -> int:
    """Give the network a token for each of the (k, width) rows; the id of the first.

    ModelError unless the rows differ in the network's precision: equal ones would be one token.
    """
    own = table(network)
    added = rows.to(own)
    if len(torch.unique(added, dim=0)) < len(added):
        problem = f"two of its {len(added)} new tokens have the same embedding in {own.dtype}"
        raise ModelError(model, problem)
    first = len(own)
    network.resize_token_embeddings(first + len(rows), mean_resizing=False)
    table(network)[first:] = added
    return first
