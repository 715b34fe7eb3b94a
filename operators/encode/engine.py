"""What computes a graph that was exported from a network of transformers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy.typing as npt
import torch

States = npt.NDArray[Any]
Run = Callable[[list[States]], States]
"""Computes ids, mask and perhaps token types, (rows, tokens) int64, to float32 states or logits."""
Inputs = Mapping[str, torch.Tensor]
"""Example inputs by name, in the order the network takes them."""


class Runtime(Protocol):
    """A frozen dataclass; its package is imported by its methods alone."""

    package: ClassVar[str]
    """What has to be installed, also the extra of corpusmill that does."""
    title: ClassVar[str]
    file: ClassVar[str]
    """The graph's file, the last one that `export` writes."""

    def export(self, network: torch.nn.Module, inputs: Inputs, place: Path) -> None:
        """Write the graph of a network whose rows and tokens may be any number into a folder."""
        ...

    def compiled(self, place: Path, precision: str) -> Run:
        """Load the folder's graph to compute in a precision that `TAKES` allows."""
        ...
