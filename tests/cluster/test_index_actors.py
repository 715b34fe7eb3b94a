"""An index that cannot be read ends a run on Ray as itself, before any unit is begun."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from pydantic.dataclasses import dataclass

from cluster.execute import run_pipeline
from cluster.progress import Progress
from cluster.stalled import Stalled
from operators.base import STRICT, Ask, ParallelMap, Resources, Transform
from operators.errors import SourceError
from operators.storage.receipts import RunFolder, runs
from operators.text.source import Source
from pipelines.plan import plan_phase
from pipelines.spec import Phase, Pipeline, Step, Write
from tests.pipeline_builders import good_rows, ids_of, lines, write_files

ON = Resources()
FAULTS = {
    "damaged": SourceError("s3://lake/index", "the file is cut short"),
    "large": MemoryError("no room"),
}


@dataclass(frozen=True, config=STRICT)
class Search:
    """Ask every part of an index, whose second one cannot be read for a reason."""

    reason: str = ""
    name: ClassVar[str] = "search"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = True

    def bind(self, schema: pa.Schema) -> pa.Schema:
        return schema

    def surveyed(self, of: int, parallel: ParallelMap) -> None:
        return None

    def open_part(self, part: int, of: int, survey: None) -> list["Search"]:
        if part and self.reason:
            raise FAULTS[self.reason]
        return [self]

    def found(self, rows: int) -> int:
        return rows

    @contextmanager
    def open_with(self, ask: Ask, on: Resources) -> Iterator[Transform]:
        yield partial(_asked, ask)

    @contextmanager
    def open(self, on: Resources = ON) -> Iterator[Transform]:
        yield partial(_asked, lambda place, method, rows: [rows, rows])


def _asked(ask: Ask, table: pa.Table) -> pa.Table:
    assert ask(0, "found", len(table)) == [len(table), len(table)]
    return table


def phase(tmp_path, reason="", **on: Any) -> Phase:
    """A phase of several units that searches an index of two parts."""
    docs = write_files(f"{tmp_path}/docs", {"a.jsonl": lines(good_rows(0, 30))})
    step = Step(Search(reason), Resources(workers=2, cpus=0.5, **on))
    return Phase("found", Source(uri=docs, unit_bytes=500), (step,), Write(f"{tmp_path}/t"))


@pytest.mark.ray
def test_on_ray_every_part_of_an_index_is_asked(tmp_path, runner_called):
    run_pipeline(Pipeline((phase(tmp_path),)), runner_called("ray"), Progress(quiet=True))
    assert len(ids_of(f"{tmp_path}/t")) == 30


@pytest.mark.ray
@pytest.mark.parametrize(
    ("reason", "error", "told"),
    [
        ("damaged", "SourceError", "^source s3://lake/index: the file is cut short$"),
        ("large", "ActorDiedError", "no room"),
    ],
)
def test_on_ray_a_part_that_does_not_open_ends_the_run_before_a_unit_is_begun(
    tmp_path, runner_called, reason, error, told
):
    made = Pipeline((phase(tmp_path, reason),))
    with pytest.raises(Exception, match=told) as caught:
        run_pipeline(made, runner_called("ray"), Progress(quiet=True))
    assert type(caught.value).__name__ == error
    (run,) = runs(f"{tmp_path}/t")
    assert RunFolder(f"{tmp_path}/t", run).attempts() == {}


@pytest.mark.ray
def test_on_ray_an_index_that_no_node_has_room_for_is_not_waited_for_without_end(
    tmp_path, ray_started
):
    from cluster.index_actors import held

    job = plan_phase(phase(tmp_path, gpus=1)).job  # which no node of the tests has
    with pytest.raises(Stalled, match="an index is still being read"), held(job, map, 3):
        pass
