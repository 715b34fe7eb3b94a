"""A plan of a table that is there says what will be read and why."""

import re

from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.outlook import outlook
from cluster.progress import Progress
from pipelines.forecast import forecasts
from pipelines.spec import Pipeline
from tests.pipeline_builders import built, good_rows, lines, vectors_phase, write_files

FILES = {f"{n}.jsonl": lines(good_rows(n * 20, n * 20 + 20)) for n in range(3)}


def test_a_plan_says_what_will_be_read_and_why(tmp_path, tiny_model):
    docs, table = write_files(f"{tmp_path}/docs", FILES), f"{tmp_path}/vectors"
    pipeline = built(tiny_model, vectors=vectors_phase(docs, table))
    run_pipeline(pipeline, LocalRunner(), Progress(quiet=True))
    assert "nothing changed since version 0" in told_by_plan(pipeline)
    write_files(docs, {"1.jsonl": lines(good_rows(20, 39))})
    told = told_by_plan(pipeline)
    assert "1 of 3 source files are new or changed; texts that are there keep their vectors" in told
    assert re.search(r"^  rows +19 ", told, re.MULTILINE)
    other = built(tiny_model, vectors=vectors_phase(docs, table, encode={"pooling": "cls"}))
    told = told_by_plan(other)
    assert "(encode.pooling changed from 'auto' to 'cls'); all of it made anew" in told
    write_files(docs, {"1.jsonl": b""})
    assert "rows " not in told_by_plan(pipeline)


def told_by_plan(pipeline: Pipeline) -> str:
    return "\n".join(line for each in forecasts(pipeline, probe=False) for line in outlook(each))
