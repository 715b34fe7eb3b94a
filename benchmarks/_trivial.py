"""Encoders that cost next to nothing or only time, and the same work without corpusmill.

`python -m benchmarks._trivial WAY SOURCE OUT …`: one way to do it, as a process of its own.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic.dataclasses import dataclass

from operators import columns
from operators.arrays import to_column
from operators.base import STRICT, Resources, Transform
from operators.contract import extend, require
from operators.text.source import Source
from pipelines.spec import Gate, Phase, Pipeline, Step, Write

DIM = 8
ON = Resources()
BATCH = 4096


def vectors(texts: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Unit vectors of the first bytes of each text: as good as no work."""
    found = np.zeros((len(texts), DIM), np.float32)
    for row, text in enumerate(texts.to_pylist()):
        first = text.encode()[:DIM]
        found[row, : len(first)] = np.frombuffer(first, np.uint8)
    found[:, 0] += 1
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@dataclass(frozen=True, config=STRICT)
class FirstBytes:
    """Add `embedding`: a vector of the text's first bytes."""

    name: ClassVar[str] = "first-bytes"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = True

    def bind(self, schema: pa.Schema) -> pa.Schema:
        require(self.name, schema, columns.TEXT)
        return extend(schema, columns.embedding(DIM))

    @contextmanager
    def open(self, on: Resources = ON) -> Iterator[Transform]:
        yield lambda rows: rows.append_column(
            columns.embedding(DIM), to_column(vectors(rows["text"]))
        )


@dataclass(frozen=True, config=STRICT)
class Sleep:
    """Take `seconds` for a thousand rows and do nothing: a stand-in for an encoder on a GPU."""

    seconds: float
    name: ClassVar[str] = "sleep"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = True

    def bind(self, schema: pa.Schema) -> pa.Schema:
        require(self.name, schema, columns.TEXT)
        return schema

    @contextmanager
    def open(self, on: Resources = ON) -> Iterator[Transform]:
        def wait(rows: pa.Table) -> pa.Table:
            time.sleep(self.seconds * len(rows) / 1000)
            return rows

        yield wait


def of_ours(source: str, out: str, runner: str) -> None:
    """The pipeline: what the commands `run` and `run --runner ray` do with such an operator."""
    from cluster.commands import runner_named
    from cluster.execute import run_pipeline
    from cluster.progress import Progress

    write = Write(f"{out}/ours", Gate(max_bad_rows=0))
    phase = Phase("vectors", Source(uri=source), (Step(FirstBytes()),), write)
    run_pipeline(Pipeline((phase,)), runner_named(runner, ""), Progress(quiet=True))


def of_sleep(source: str, out: str, address: str, workers: int, seconds: float) -> None:
    """The same on a running cluster, with workers that only wait, on nodes labelled `model`."""
    from cluster.execute import run_pipeline
    from cluster.progress import Progress
    from cluster.ray_runner import RayRunner

    on = Resources(workers=workers, label_selector={"pool": "model"})
    step = Step(Sleep(seconds), on)
    phase = Phase("vectors", Source(uri=source, unit_bytes=10_000), (step,), Write(f"{out}/ours"))
    run_pipeline(Pipeline((phase,)), RayRunner(address), Progress(quiet=True))


def plain(source: str, out: str) -> None:
    """One process, one loop, one file: what anybody would write first."""
    file = pq.ParquetFile(source)
    with pq.ParquetWriter(f"{out}/plain.parquet", _schema(), compression="zstd") as writer:
        for batch in file.iter_batches(BATCH, columns=["id", "text"]):
            writer.write_table(_with_vectors(pa.Table.from_batches([batch])))


def by_hand(source: str, out: str) -> None:
    """Ray Data as its documentation writes it, with an actor for the encoder."""
    import ray

    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    data = ray.data.read_parquet(source, columns=["id", "text"])
    data = data.repartition(target_num_rows_per_block=BATCH * 4).map_batches(
        Actor,
        batch_size=BATCH,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
    )
    data.write_parquet(f"{out}/by_hand")
    ray.shutdown()


class Actor:
    """The encoder as Ray Data wants it."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        return _with_vectors(batch)


def _with_vectors(rows: pa.Table) -> pa.Table:
    found = rows.select(["id"]).append_column("embedding", to_column(vectors(rows["text"])))
    return found.cast(_schema())


def _schema() -> pa.Schema:
    return pa.schema([("id", pa.string()), ("embedding", pa.list_(pa.float32()))])


def main(way: str, source: str, out: str, *rest: str) -> None:
    """Do it the way that is named."""
    from benchmarks import _trivial  # by its own name, for workers to find the operators

    Path(out).mkdir(parents=True, exist_ok=True)
    if way in {"local", "ray"}:
        _trivial.of_ours(source, out, way)
    elif way == "sleep":
        _trivial.of_sleep(source, out, rest[0], int(rest[1]), float(rest[2]))
    else:
        {"plain": _trivial.plain, "by-hand": _trivial.by_hand}[way](source, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
