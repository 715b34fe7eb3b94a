"""What is measured or learned before a phase has the resources of the steps it goes through."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pytest
from pydantic.dataclasses import dataclass

from cluster.execute import run_pipeline
from cluster.progress import Progress
from operators.base import STRICT, Resources, Transform
from operators.text.source import Source
from pipelines.spec import Phase, Pipeline, Step, Write
from tests.pipeline_builders import good_rows, lines, write_files

ON = Resources()


@dataclass(frozen=True, config=STRICT)
class Tells:
    """Choose, and learn, what the process that does it was given."""

    choice: str = ""
    artefact: str = ""
    name: ClassVar[str] = "tells"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = True

    def bind(self, schema: pa.Schema) -> pa.Schema:
        return schema

    @property
    def undecided(self) -> bool:
        return not self.choice

    def choose(self, sample: pa.Table, on: Resources) -> str:
        return json.dumps({**given(), "threads": on.threads})

    def decided(self, choice: str) -> "Tells":
        return replace(self, choice=choice)

    @property
    def learns(self) -> bool:
        return True

    def fit(self, sample: pa.Table) -> bytes:
        return json.dumps(given()).encode()

    @contextmanager
    def open(self, on: Resources = ON) -> Iterator[Transform]:
        yield lambda table: table


def given() -> dict[str, float]:
    import ray

    return dict(ray.get_runtime_context().get_assigned_resources())


@pytest.mark.ray
def test_on_ray_choosing_and_learning_have_the_memory_and_the_threads_of_their_step(
    tmp_path, runner_called
):
    from cluster import settings

    docs = write_files(f"{tmp_path}/docs", {"a.jsonl": lines(good_rows(0, 5))})
    on = Resources(memory=64 << 20)
    phase = Phase("told", Source(uri=docs), (Step(Tells(), on),), Write(f"{tmp_path}/t"))
    run_pipeline(Pipeline((phase,)), runner_called("ray"), Progress(quiet=True))
    (choice,) = Path(f"{tmp_path}/t/_corpusmill/choices").iterdir()
    (artefact,) = Path(f"{tmp_path}/t/_corpusmill/artefacts").glob("*.safetensors")
    chosen, learned = (json.loads(path.read_text()) for path in (choice, artefact))
    assert chosen == {"CPU": 1.0, "memory": 64 << 20, "threads": settings.threads(on)}
    assert learned == {"CPU": 1.0, "memory": 64 << 20}
