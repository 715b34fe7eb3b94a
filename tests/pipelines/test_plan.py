"""How many hash buckets the keys of a run are split in."""

import pytest

from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from operators.model import Model
from operators.text.late_passages import LatePassages
from operators.text.passages import Passages
from operators.text.tokenizer import Tokenize
from pipelines.plan import most_rows, plan_phase
from pipelines.spec import Step
from tests.pipeline_builders import good_rows, lines, write_files
from tests.poison import poisoned

MODEL = Model(path="some/model")
ROWS, SIZE = 1_000_000, 10**10


@pytest.mark.parametrize(
    ("rows", "size", "operators", "wanted"),
    [
        (ROWS, SIZE, (), ROWS),
        (ROWS, SIZE, (Tokenize(model=MODEL),), ROWS),
        (ROWS, SIZE, (Passages(model=MODEL), Tokenize(model=MODEL)), SIZE // 200),
        (ROWS, SIZE, (LatePassages(model=MODEL),), SIZE // 200),
        (ROWS, 1000, (Passages(model=MODEL),), ROWS),
        (-1, SIZE, (Tokenize(model=MODEL),), SIZE // 200),
    ],
)
def test_rows_are_known_where_steps_make_one_of_each_and_bounded_by_bytes_elsewhere(
    rows, size, operators, wanted
):
    assert most_rows(rows, size, tuple(map(Step, operators))) == wanted


def test_a_table_that_is_there_has_its_rows_in_buckets_however_small_the_source_is_now(
    tmp_path, monkeypatch
):
    docs = write_files(f"{tmp_path}/docs", {"a.jsonl": lines(good_rows(0, 60))})
    pipeline = poisoned(docs, f"{tmp_path}/texts")
    run_pipeline(pipeline, LocalRunner(), Progress(quiet=True))
    write_files(docs, {"a.jsonl": lines(good_rows(0, 2))})
    monkeypatch.setattr("pipelines.plan._ROWS_A_BUCKET", 20)
    assert plan_phase(pipeline.phases[0]).job.buckets == 3
