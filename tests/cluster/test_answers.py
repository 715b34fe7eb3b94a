"""An error of ours is told in its own words, wherever on Ray it was raised."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from operators.errors import CorpusmillError, ModelError, SourceError
from operators.text.source import Source
from pipelines.plan import plan_phase
from pipelines.spec import Phase, Step, Write
from tests.pipeline_builders import good_rows, lines, write_files
from tests.poison import Shut

ERROR = SourceError("s3://lake/docs", "nobody may read it")


def fails(error: Exception, item: object) -> None:
    raise error


@dataclass(frozen=True)
class Failing:
    """Opens an index whose one part fails when it is asked."""

    def open_part(self, part: int, of: int, survey: Any) -> list["Failing"]:
        return [self]

    def find(self) -> None:
        raise ERROR


def by_parallel(tmp_path):
    from cluster.ray_runner import RayRunner

    list(RayRunner().parallel(partial(fails, ERROR), [1]))


def by_asking(tmp_path):
    import ray

    from cluster.index_actors import AskActors, IndexPart

    actor: Any = ray.remote(IndexPart).remote(Failing(), 0, 1, None)
    AskActors((actor,))(0, "find")


class ShutTask(Shut):
    """The same without a model: a task that reads opens it."""

    loads_model = False


def planned(tmp_path, kind):
    docs = write_files(f"{tmp_path}/docs", {"a.jsonl": lines(good_rows(0, 3))})
    steps = (Step(kind(f"{tmp_path}/docs")),)
    return plan_phase(Phase("texts", Source(uri=docs), steps, Write(f"{tmp_path}/t")))


def by_streaming(tmp_path):
    from cluster.ray_runner import RayRunner

    plan = planned(tmp_path, ShutTask)
    list(RayRunner().run_units(plan.job, plan.units))


def by_running_alone(tmp_path):
    from cluster.ray_runner import RayRunner

    plan = planned(tmp_path, Shut)
    RayRunner().alone(plan.job, plan.units[0], 0, -1)


@pytest.mark.ray
@pytest.mark.parametrize(
    ("work", "error"),
    [
        (by_parallel, ERROR),
        (by_asking, ERROR),
        (by_streaming, ModelError("m", "it is shut")),
        (by_running_alone, ModelError("m", "it is shut")),
    ],
)
def test_on_ray_an_error_is_told_in_its_own_words(tmp_path, ray_started, work, error):
    with pytest.raises(CorpusmillError) as caught:
        work(tmp_path)
    assert (type(caught.value), str(caught.value)) == (type(error), str(error))


@pytest.mark.ray
def test_on_ray_a_fault_that_nobody_foresaw_keeps_its_trace(ray_started):
    from cluster.ray_runner import RayRunner

    with pytest.raises(ArithmeticError, match="ray::"):
        list(RayRunner().parallel(partial(fails, ArithmeticError("no number")), [1]))
