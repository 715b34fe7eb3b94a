"""A backend that is left open: measured once, pinned to the table, the same ever after."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from pydantic import ValidationError

from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from operators.base import Resources
from operators.encode.fastest import fastest
from operators.errors import ModelError
from operators.model import Model
from operators.teach.teach import Teach
from pipelines.choice import decided, undecided
from pipelines.config import parse
from pipelines.forecast import forecasts
from tests.pipeline_builders import (
    built,
    good_rows,
    lineage_of,
    lines,
    rows_of,
    vectors_phase,
    write_files,
)

TEACHERS = [
    {"teacher": "cross-encoder", "model": "teacher", "backend": "auto"},
    {"teacher": "bi-encoder", "model": "tiny", "backend": "auto"},
]


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


def test_workers_with_gpus_take_torch_whatever_is_faster_on_this_cpu():
    def measured(engine):
        raise AssertionError(f"{engine} was opened")

    sample = pa.table({"id": ["a"]})
    assert fastest(["openvino", "torch"], measured, sample, Resources(gpus=0.5)) == "torch"


def teachers_of(table):
    """Its teach steps as the newest commit tells them."""
    steps = lineage_of(table)["config"]["steps"]
    return [step["teach"] for step in steps if "teach" in step]


def pins(table):
    return sorted(Path(table, "_corpusmill", "choices").iterdir())


def test_each_teacher_is_measured_once_and_deeper_mining_adds_to_its_scores(
    embedded, tmp_path, monkeypatch
):
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    lake = replace(embedded, name="auto-")
    table = lake.table("scores")
    first = lake.run("local", last="scores", teach=TEACHERS)["scores"]
    chosen = [step["backend"] for step in teachers_of(table)]
    assert sorted(pin.read_text() for pin in pins(table)) == sorted(chosen)
    assert set(chosen) <= {"torch", "openvino", "onnxruntime"}
    assert lake.run("local", last="scores", teach=TEACHERS)["scores"].counts is None
    deeper = {"selection": {"negatives": 7, "range_max": 20}}
    second = lake.run("local", last="scores", teach=TEACHERS, mine=deeper)["scores"]
    assert (first.version, second.version, len(pins(table))) == (0, 1, 2)
    rows = rows_of(table)
    assert rows["teacher"].value_counts().field("counts").to_pylist() == [len(rows) / 2] * 2
    assert rows["logit"].null_count == 0


def test_the_pin_of_a_teacher_is_obeyed_and_another_backend_is_another_teacher(
    embedded, tmp_path, monkeypatch
):
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    lake = replace(embedded, name="pinned-")
    table = lake.table("scores")
    lake.run("local", last="scores", teach=TEACHERS[:1])
    (pin,) = pins(table)
    engines = ["torch", "openvino", "onnxruntime"]
    engines.remove(pin.read_text())
    pin.write_text(engines[0])
    lake.run("local", last="scores", teach=TEACHERS[:1])
    (step,) = teachers_of(table)
    assert step["backend"] == engines[0]
    assert len(set(rows_of(table)["teacher"].to_pylist())) == 2


def test_a_plan_measures_for_itself_and_pins_nothing(embedded, tmp_path, monkeypatch):
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    lake = replace(embedded, name="planned-")
    lake.run("local", last="negatives")
    config = lake.config(last="scores", teach=TEACHERS)
    *_, scores = forecasts(parse(yaml.safe_dump(config, sort_keys=False)), probe=True)
    backends = [step.operator.backend for step in scores.plan.phase.steps[1:]]
    assert "auto" not in backends
    assert not Path(lake.table("scores")).exists()


def test_only_a_teacher_that_has_backends_can_leave_the_choice_open():
    with pytest.raises(ValidationError, match="teacher 'yes-no' has no option 'backend'"):
        Teach(Model("m"), teacher="yes-no", backend="auto")


def test_a_precision_leaves_the_backends_that_have_it(tiny_teacher, tmp_path, monkeypatch):
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path))
    pairs = pa.table({"query": ["the fox"], "text": ["of and"], "teacher": ["t"]})
    step = Teach(Model(str(tiny_teacher)), precision="int8", backend="auto", fingerprint="t")
    assert step.choose(pairs, Resources(device="cpu")) == "openvino"
