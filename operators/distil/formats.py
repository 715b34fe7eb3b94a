"""The formats an export can have, by name: one line each."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from operators.distil.examples import Examples
from operators.distil.to_jsonl import flagembedding, tevatron
from operators.distil.to_pylate import pylate
from operators.distil.to_sentence_transformers import labeled_list, labeled_pair, n_tuple, triplet

Write = Callable[[Examples], int]
"""Writes a batch of examples; how many rows they became."""


class Format(NamedTuple):
    """How a format is written; `open` takes the folder its files go to."""

    open: Callable[[Path], AbstractContextManager[Write]]
    labels: str
    """What its labels are unless the user says: one of LABELS, `graded` or `known`."""
    even: bool = False
    """Every row has equally many negatives."""
    lonely: bool = False
    """A row without negatives is of use."""
    needs_labels: bool = False


@contextmanager
def _parquet(make: Callable[[Examples], pa.Table], folder: Path) -> Iterator[Write]:
    """One file, a row group a batch."""
    writers: list[pq.ParquetWriter] = []

    def write(examples: Examples) -> int:
        table = make(examples)
        if not writers:
            writers.append(pq.ParquetWriter(str(folder / "train.parquet"), table.schema))
        writers[0].write_table(table)
        return len(table)

    try:
        yield write
    finally:
        for writer in writers:
            writer.close()


@contextmanager
def _lines(make: Callable[[Examples], Iterator[bytes]], folder: Path) -> Iterator[Write]:
    with (folder / "train.jsonl").open("wb") as stream:

        def write(examples: Examples) -> int:
            stream.writelines(make(examples))
            return len(examples)

        yield write


FORMATS: dict[str, Format] = {
    "triplet": Format(partial(_parquet, triplet), "none"),
    "n-tuple": Format(partial(_parquet, n_tuple), "none", even=True),
    "n-tuple-scores": Format(partial(_parquet, n_tuple), "scores", even=True, needs_labels=True),
    "labeled-pair": Format(
        partial(_parquet, labeled_pair), "graded", lonely=True, needs_labels=True
    ),
    "labeled-list": Format(partial(_parquet, labeled_list), "graded", needs_labels=True),
    "flagembedding": Format(partial(_lines, flagembedding), "known"),
    "tevatron": Format(partial(_lines, tevatron), "known"),
    "pylate": Format(pylate, "scores", even=True, needs_labels=True),
}
"""`graded`: targets unless there are none or they are margins, else one and zero.

`known`: the teachers' scores where there are any, else none.
"""
