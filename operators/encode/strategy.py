"""What a strategy of encoding is: another way from a row's token ids to what is stored of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators import columns
from operators.arrays import to_column, whole
from operators.base import Batches
from operators.encode.shape import Shape
from operators.model import Folder

if TYPE_CHECKING:
    import torch

    from operators.encode.loop import Loop, Ragged

Precision = Literal["fp32", "bf16", "fp16", "int8"]
Engine = Literal["torch", "openvino", "onnxruntime"]
AnyEngine = Literal[Engine, "auto"]
TAKES: dict[str, tuple[str, ...]] = {
    "torch": ("fp32", "bf16", "fp16"),
    "openvino": ("fp32", "bf16", "int8"),
    "onnxruntime": ("fp32",),
}
"""The precisions of each backend."""


def check_precision(engine: str, precision: str) -> None:
    """ValueError where the backend does not compute in that precision."""
    if engine != "auto" and precision not in TAKES[engine]:
        takes = " or ".join(TAKES[engine])
        raise ValueError(f"backend {engine} computes in {takes}, not in {precision}")


@dataclass(frozen=True)
class Opening:
    """All that a strategy is given to load its network."""

    folder: Folder
    model: str
    shape: Shape
    precision: Precision
    device: "torch.device"
    engine: Engine
    token_budget: int
    """Padded tokens a forward pass; 0: as many as the device has room for."""
    batches: Batches = "auto"

    @property
    def budget(self) -> int:
        """Padded tokens a forward pass: to be asked for when the network has taken its room."""
        from operators.encode import device

        return self.token_budget or device.token_budget(self.device, self.folder.width)


class Encoded(NamedTuple):
    """The columns of n rows, in their order, and the rows whose values are not finite."""

    columns: list[tuple[pa.Field, pa.Array]]
    bad: npt.NDArray[np.bool_]


Encoding = Callable[["Ragged", pa.Table], Encoded]
"""Encodes a unit: the ids of n rows, and its table, whose other columns a strategy may need."""


class Strategy(Protocol):
    """A frozen dataclass with a field `kind`, a literal."""

    engines: ClassVar[frozenset[str]]
    """The backends that can compute it."""

    @property
    def needs(self) -> tuple[pa.Field, ...]:
        """Columns it reads beside the ids."""
        ...

    @property
    def kind(self) -> str:
        """Its name in a config."""
        ...

    def fields(self, folder: Folder, model: str, shape: Shape) -> list[pa.Field]:
        """The columns it gives; ModelError, by the folder's JSON alone, where it cannot."""
        ...

    def open(self, opening: Opening) -> Encoding:
        """Load the network and check it with a few rows: ModelError where it is not as needed."""
        ...


@runtime_checkable
class PoolsItself(Protocol):
    """A strategy that makes its vectors in a way of its own: no `pooling` can be named with it."""

    own_pooling: ClassVar[bool]


@runtime_checkable
class OfDocuments(Protocol):
    """A strategy that gives a row for each of the `spans` of its rows, which are documents."""

    of_documents: ClassVar[bool]


@runtime_checkable
class HasSides(Protocol):
    """A strategy by which queries are encoded in another way than the documents they search."""

    one_sided: ClassVar[frozenset[str]]
    """Fields that both may have as they like."""

    def of_queries(self) -> Strategy:
        """The strategy by which queries are encoded; ConfigError where its fields do not say it."""
        ...


def vectors(loop: "Loop", rows: "Ragged") -> Encoded:
    """One vector a row, as `embedding`."""
    return embedded(loop.encode_unit(rows))


def embedded(matrix: npt.NDArray[np.float32]) -> Encoded:
    """An (n, dim) matrix as `embedding`; a row that is not finite is bad, its values zero."""
    bad: npt.NDArray[np.bool_] = ~np.all(np.isfinite(matrix), axis=1, keepdims=True)[:, 0]
    matrix[bad] = 0
    return Encoded([(columns.embedding(matrix.shape[1]), to_column(matrix))], bad)


def cut(encoded: Encoded, table: pa.Table, shorter: npt.NDArray[np.bool_]) -> Encoded:
    """Encoded rows of which some were cut: those are `truncated`, as those that were so before."""
    truncated = whole(table[columns.TRUNCATED.name]).to_numpy(zero_copy_only=False) | shorter
    return Encoded([*encoded.columns, (columns.TRUNCATED, pa.array(truncated))], encoded.bad)
