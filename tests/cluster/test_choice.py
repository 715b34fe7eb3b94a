"""A backend that is left open: measured once, pinned to the table, the same ever after."""

import pyarrow as pa
import pytest

from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from operators.base import Resources
from operators.encode.fastest import fastest
from operators.errors import ModelError
from pipelines.choice import decided, undecided
from tests.pipeline_builders import (
    built,
    good_rows,
    lineage_of,
    lines,
    rows_of,
    vectors_phase,
    write_files,
)


def pipeline(tmp_path, tiny_model, rows=20):
    docs = write_files(f"{tmp_path}/docs", {"a.jsonl": lines(good_rows(0, rows))})
    phase = vectors_phase(docs, f"{tmp_path}/out", encode={"backend": "auto"})
    return built(tiny_model, vectors=phase)


def run(made):
    (result,) = run_pipeline(made, LocalRunner(), Progress(quiet=True))
    return result


def named(table):
    return lineage_of(table)["readable"]["steps"][1]["backend"]


def test_the_first_run_measures_and_every_later_one_takes_what_it_chose(
    tmp_path, tiny_model, monkeypatch
):
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    made = pipeline(tmp_path, tiny_model)
    assert run(made).version == 0
    (pin,) = (tmp_path / "out" / "_corpusmill" / "choices").iterdir()
    (step,) = undecided(made.phases[0])
    choice = decided(made.phases[0]).steps[step].operator.backend
    assert pin.read_text() == choice
    assert choice in named(f"{tmp_path}/out")
    assert run(made).counts is None


def test_a_pin_is_obeyed_whatever_is_faster_here(tmp_path, tiny_model, monkeypatch):
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    made = pipeline(tmp_path, tiny_model)
    run(made)
    (pin,) = (tmp_path / "out" / "_corpusmill" / "choices").iterdir()
    for choice in ("onnxruntime", "openvino"):
        pin.write_text(choice)
        run(made)
        assert choice in named(f"{tmp_path}/out")
    assert len(rows_of(f"{tmp_path}/out")) == 20


def test_one_that_refuses_is_passed_over_and_none_at_all_is_told():
    def broken(engine):
        raise ModelError("m", f"{engine} cannot take it")

    sample = pa.table({"id": ["a"]})
    with pytest.raises(ModelError, match="openvino cannot take it"):
        fastest(["openvino"], broken, sample, Resources(device="cpu"))
    assert fastest(["torch"], broken, sample.slice(0, 0), Resources(device="cpu")) == "torch"
