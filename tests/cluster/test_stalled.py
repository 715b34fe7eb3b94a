"""A phase that stands still is told by its stage and by what it waits for."""

import pytest

from cluster.stalled import Stalled, stalled
from operators.base import Resources
from operators.text.source import Source
from pipelines.plan import plan_phase
from pipelines.spec import Phase, Step, Write
from tests.pipeline_builders import good_rows, lines, write_files
from tests.poison import Raise

STAGES = ["reading", "encode", "writing"]
HEAD = "Dataset execution made no progress for at least 12s\nOperators still running:\n"


def report(*running: tuple[int, int]) -> str:
    """Ray Data's words for operators with so many active tasks, and so many finished."""
    lines = [
        f"  - MapBatches(x): {active} active task(s), {done} finished, 0 outputs taken"
        for active, done in running
    ]
    return HEAD + "\n".join(lines)


@pytest.mark.parametrize(
    ("running", "free", "told"),
    [
        ([(0, 9), (2, 3), (0, 3)], 1.0, "12 s: encode has worked on 2 units without an end;"),
        ([(1, 3), (0, 3)], 2.0, "12 s: encode has worked on 1 unit without an end;"),
        (
            [(0, 5), (0, 0), (0, 0)],
            0.0,
            "12 s: reading waits for a free CPU (units it finished: 5)",
        ),
        ([(0, 0), (0, 0)], 3.0, "12 s: encode waits for a worker that no node can hold;"),
        ([], 1.0, "12 s: no stage is at work;"),
    ],
)
def test_the_stages_still_at_work_end_the_list_and_say_what_they_wait_for(running, free, told):
    error = stalled(report(*running), STAGES, free, 12)
    assert told in str(error)
    assert "run again to go on" in str(error)
    assert error.exit_code == 1


@pytest.mark.ray
def test_on_ray_a_unit_that_waits_to_run_alone_is_not_blamed_for_it(tmp_path, ray_started):
    from cluster.ray_runner import RayRunner
    from cluster.settings import RaySettings

    docs = write_files(f"{tmp_path}/docs", {"a.jsonl": lines(good_rows(0, 3))})
    on = Resources(gpus=1)  # which no node of the tests has
    phase = Phase("texts", Source(uri=docs), (Step(Raise("lemon"), on),), Write(f"{tmp_path}/t"))
    plan = plan_phase(phase)
    runner = RayRunner(tuning=RaySettings(no_progress_seconds=3))
    with pytest.raises(Stalled, match="waits for a worker that no node has free"):
        runner.alone(plan.job, plan.units[0], 0, -1)
