"""What every way to embed is asked for, reads and writes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from operators.encode.strategy import Engine, Precision

BATCH = 32


@dataclass(frozen=True)
class Asked:
    """A way, what it reads, and the folder that it may write to."""

    way: str
    """One of the WAYS of `_embedding.py`."""
    precision: Precision
    backend: Engine
    model: str
    length: int
    source: str
    out: str
    threads: int


@dataclass(frozen=True)
class Told:
    """What a way took; `forward` is the seconds of its forward passes, where they are timed.

    `peak` is 0 where other processes hold the model.
    """

    seconds: float
    forward: float | None
    tokens: int
    peak: int


def texts_of(asked: Asked) -> list[str]:
    """The documents, in the order of the source."""
    found: list[str] = pq.read_table(asked.source)["text"].to_pylist()
    return found


def write(asked: Asked, vectors: np.ndarray) -> None:
    """Ids and vectors as one Parquet file, which every way ends with."""
    from operators.arrays import to_column

    ids = pq.read_table(asked.source, columns=["id"])
    rows = ids.append_column("embedding", to_column(np.ascontiguousarray(vectors)))
    pq.write_table(rows, Path(f"{asked.out}.parquet"), compression="zstd")
