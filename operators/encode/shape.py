"""The vector an encoder makes of token states, decided from its folder before it is loaded."""

from dataclasses import dataclass
from typing import Literal

from operators import modules
from operators.model import Folder

Pooling = Literal["auto", "cls", "mean", "wmean", "last", "max"]


@dataclass(frozen=True)
class Shape:
    """Poolings joined end to end, the layers after them, and the values of the result."""

    pooling: tuple[str, ...]
    head: tuple[modules.Dense | modules.Normalize, ...]
    dim: int
    guessed: bool
    """Neither the config nor the folder names the pooling."""


def decide(folder: Folder, model: str, pooling: Pooling, normalize: bool | None) -> Shape:
    """Follow the config, then the folder's modules, then custom."""
    own = folder.modules.pooling
    guessed = pooling == "auto" and own is None
    modes: tuple[str, ...] = (pooling,)
    if pooling == "auto":
        modes = own.modes if own else ("last" if folder.is_decoder else "mean",)
    head = _normalized(folder.modules, normalize)
    return Shape(modes, head, modules.output_dim(folder.width * len(modes), head, model), guessed)


def _normalized(
    parts: modules.Modules, normalize: bool | None
) -> tuple[modules.Dense | modules.Normalize, ...]:
    if normalize is None and parts.declared:
        return parts.head
    ends = bool(parts.head) and isinstance(parts.head[-1], modules.Normalize)
    bare = parts.head[:-1] if ends else parts.head
    return bare if normalize is False else (*bare, modules.Normalize())
