"""Rows of token ids end to end, as tensors."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from operators.encode.budget import Rows


class Flat(NamedTuple):
    """Rows end to end."""

    ids: Tensor
    """(1, tokens)"""
    positions: Tensor
    """(1, tokens): of each token in its row, from 0."""
    ends: Tensor
    """(rows + 1) int32: where each row begins, and where the last one ends."""
    longest: int
    lengths: list[int]
    """Of the rows, where no device must be waited for."""

    def to(self, device: torch.device) -> "Flat":
        """On a device; to CUDA from pinned memory, without waiting."""
        ids, positions, ends = (sent(each, device) for each in self[:3])
        return Flat(ids, positions, ends, self.longest, self.lengths)


def flattened(ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int32], chosen: Rows) -> Flat:
    """The chosen of n rows, whose ids lie between (n + 1) offsets."""
    lengths = np.diff(offsets)[chosen]
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    positions = np.arange(ends[-1]) - np.repeat(ends[:-1], lengths)
    picked = ids[np.repeat(offsets[chosen].astype(np.int64), lengths) + positions]
    return Flat(
        torch.from_numpy(picked.astype(np.int64))[None],
        torch.from_numpy(positions)[None],
        torch.from_numpy(ends.astype(np.int32)),
        int(lengths.max()),
        lengths.tolist(),
    )


def rows_of(found: Tensor, flat: Flat) -> tuple[Tensor, Tensor]:
    """(rows, longest, width) states of (tokens, width) ones, and their (rows, longest) mask.

    What stands under a mask of 0 is the state of some other token.
    """
    column = torch.arange(flat.longest, device=found.device)
    inside = column < flat.ends.diff().unsqueeze(1)
    at = torch.where(inside, flat.ends[:-1].unsqueeze(1) + column, 0)
    return found[at], inside.long()


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """On a device; to CUDA from pinned memory, without waiting."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
