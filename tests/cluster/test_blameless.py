"""A clean stop on Ray blames no unit; a death, and a run that stands still, do."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cluster.blameless import blameless
from cluster.execute import run_pipeline
from cluster.progress import Progress
from cluster.runner import Fatal
from cluster.stalled import Stalled
from cluster.watching import Stage
from operators.storage.receipts import RunFolder, runs
from operators.text.source import Source
from pipelines.spec import Phase, Pipeline, Step, Write
from pipelines.work import MAX_ATTEMPTS, Outcome
from tests.pipeline_builders import good_rows, ids_of, lines, write_files
from tests.poison import Shut


@pytest.mark.parametrize(
    ("end", "left"),
    [
        (Fatal("the model is not there", 2), {"died": 2, "done": 1}),
        (KeyboardInterrupt(), {"died": 2, "done": 1}),
        (SystemExit(143), {"died": 2, "done": 1}),
        (GeneratorExit(), {"died": 2, "done": 1}),
        (Stalled(60, "encode"), {"died": 3, "done": 1, "at work": 1}),
        (RuntimeError("the cluster is gone"), {"died": 3, "done": 1, "at work": 1}),
    ],
)
def test_a_clean_stop_takes_back_what_was_at_work_and_no_death(store, end, left):
    folder = RunFolder(store, "run")
    folder.mark_attempt("died", "step1")  # in the run before
    with pytest.raises(type(end)), blameless(folder) as ended:
        for unit, stage in (
            *(("died", "step1"), ("died", "step1")),  # it killed one worker, and is at the next
            *(("done", "read"), ("done", "step1")),
            *(("at work", "read"), ("at work", "step1")),
        ):
            folder.mark_attempt(unit, stage)
        ended.add("done")
        raise end
    assert folder.attempts() == left


@dataclass
class Suspects:
    """A watcher that keeps the outcomes that are suspects."""

    seen: list[Outcome] = field(default_factory=list)

    def begins(self, stage: Stage) -> None: ...

    def saw(self, stage: Stage, outcome: Outcome) -> None:
        if getattr(outcome, "suspect", False):
            self.seen.append(outcome)

    def ends(self, stage: Stage) -> None: ...


@pytest.mark.ray
def test_on_ray_a_model_that_did_not_open_three_times_leaves_no_suspect_behind(
    tmp_path, runner_called
):
    docs = write_files(f"{tmp_path}/docs", {"a.jsonl": lines(good_rows(0, 60))})
    lock, table, found = Path(f"{tmp_path}/lock"), f"{tmp_path}/texts", Suspects()
    read = Source(uri=docs, unit_bytes=500)
    pipeline = Pipeline((Phase("texts", read, (Step(Shut(str(lock))),), Write(table)),))
    lock.touch()
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(Fatal, match="it is shut"):
            run_pipeline(pipeline, runner_called("ray"), Progress(quiet=True))
    (run,) = runs(table)
    assert RunFolder(table, run).receipts() == {}
    lock.unlink()
    run_pipeline(pipeline, runner_called("ray"), Progress(quiet=True, watchers=[found]))
    assert found.seen == []
    assert len(ids_of(table)) == 60
