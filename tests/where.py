"""A pipeline whose rows say where they were worked on: `python -m tests.where ADDRESS FOLDER`."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import pyarrow as pa
from pydantic.dataclasses import dataclass

from operators.base import STRICT, Resources, Transform
from operators.contract import extend
from operators.text.source import Source
from pipelines.spec import Phase, Pipeline, Step, Write
from tests.pipeline_builders import good_rows, lines, rows_of, write_files

ON = Resources()
PLACED = Resources(workers=4, cpus=0.25, gpus=0.5, label_selector={"pool": "model"})
_NAMES = ("pool", "worker", "gpus")
_FIELDS = [pa.field(name, pa.string()) for name in _NAMES]


@dataclass(frozen=True, config=STRICT)
class Where:
    """Add the label of the node, the process and its share of a GPU to each row."""

    name: ClassVar[str] = "where"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = True

    def bind(self, schema: pa.Schema) -> pa.Schema:
        return extend(schema, *_FIELDS)

    @contextmanager
    def open(self, on: Resources = ON) -> Iterator[Transform]:
        yield _told


def _told(table: pa.Table) -> pa.Table:
    import time

    import ray

    time.sleep(0.3)  # a unit takes a while, so that every worker gets some
    context = ray.get_runtime_context()
    here = next(n for n in ray.nodes() if n["NodeID"] == context.get_node_id())
    facts = (here["Labels"]["pool"], str(os.getpid()), str(context.get_assigned_resources()["GPU"]))
    for field, fact in zip(_FIELDS, facts, strict=True):
        table = table.append_column(field, pa.array([fact] * len(table)))
    return table


def main(address: str, folder: str) -> None:
    """Run it, and tell the distinct places."""
    from cluster.execute import run_pipeline
    from cluster.progress import Progress
    from cluster.ray_runner import RayRunner

    docs = write_files(f"{folder}/docs", {"a.jsonl": lines(good_rows(0, 120))})
    source = Source(uri=docs, unit_bytes=300)
    phase = Phase("where", source, (Step(Where(), PLACED),), Write(f"{folder}/where"))
    run_pipeline(Pipeline((phase,)), RayRunner(address), Progress(quiet=True))
    rows = rows_of(f"{folder}/where")
    workers = dict(zip(rows["worker"].to_pylist(), rows["gpus"].to_pylist(), strict=True))
    found = {
        "places": sorted(set(rows["pool"].to_pylist())),
        "workers": sorted(workers),
        "gpus": [float(share) for share in workers.values()],
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    from tests import where  # by its own name, for the workers to find the operator

    where.main(*sys.argv[1:])
