"""What an operator learns is learned once from a bounded sample and pinned to the table."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from operators.measures import MODEL_TOKENS, measured
from operators.quantize.artefact import fetched, named_digest
from operators.quantize.quantize import Quantize
from operators.storage import uri as store
from operators.text.source import Source
from pipelines.config import parse
from pipelines.fit import learned, pin, pinned, sample_for, unfitted
from pipelines.plan import PhasePlan, plan_phase
from pipelines.spec import Phase, Step, Write
from tests import kinds
from tests.pipeline_builders import (
    built,
    good_rows,
    lines,
    packed_lines,
    vectors_phase,
    write_files,
)

MEDIAN = {"scheme": "binary", "center": "median"}
MEDIANS = Step(Quantize(scheme="binary", center="median"))


def phase(base, model, quantize=MEDIAN, **parts) -> Phase:
    docs = base + "/docs"
    if not store.list_names(docs):
        files = {
            "a.jsonl": lines(good_rows(0, 40)),
            "b.jsonl": lines([{"id": "x", "text": ""}]),
            "c.jsonl.gz": packed_lines(good_rows(40, 60)),
        }
        write_files(docs, files)
    described = vectors_phase(docs, base + "/vectors", quantize=quantize, **parts)
    return built(model, vectors=described).phases[0]


def fit_and_pin(plan: PhasePlan, number: int) -> Phase:
    return pin(plan, number, learned(plan, number).artefact)


def artefact(found: Phase) -> str:
    return found.steps[-1].operator.artefact  # type: ignore[attr-defined]  # a Quantize


@pytest.mark.parametrize(
    ("quantize", "steps"),
    [(MEDIAN, [2]), ({"scheme": "binary"}, []), ({"scheme": "int8"}, [])],
)
def test_only_a_step_that_learns_and_has_not_yet_is_unfitted(tmp_path, tiny_model, quantize, steps):
    assert unfitted(phase(str(tmp_path), tiny_model, quantize)) == steps


def test_nothing_is_pinned_before_it_was_learned(store, tiny_model):
    found = phase(store, tiny_model)
    assert pinned(found) == found


def test_what_was_learned_is_pinned_under_the_digest_of_its_content(store, tiny_model):
    before = phase(store, tiny_model)
    after = fit_and_pin(plan_phase(before), 2)
    assert unfitted(after) == []
    words = fetched(artefact(after))
    assert set(words) == {"center", "spread"}
    assert words["center"].shape == (32,)
    assert np.isfinite(words["center"]).all()
    assert pinned(before) == after
    assert fit_and_pin(plan_phase(before), 2) == after


def test_a_pin_holds_while_the_source_changes_and_not_for_another_model(tmp_path, tiny_model):
    before = phase(str(tmp_path), tiny_model)
    after = fit_and_pin(plan_phase(before), 2)
    write_files(before.read.uri, {"d.jsonl": lines(good_rows(100, 150))})
    assert pinned(before) == after
    other = phase(str(tmp_path), tiny_model, encode={"pooling": "cls"})
    assert unfitted(pinned(other)) == [2]


def test_two_runs_that_fit_at_once_pin_the_same(store, tiny_model):
    before = phase(store, tiny_model)
    plan = plan_phase(before)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: fit_and_pin(plan, 2), range(2))
    assert first == second == pinned(before)
    assert named_digest(artefact(first))


def test_two_steps_that_learn_are_both_found_pinned(tmp_path, tiny_model):
    before = phase(str(tmp_path), tiny_model, MEDIAN | {"keep_embedding": True})
    before = replace(before, steps=(*before.steps, Step(Quantize(scheme="pq", blocks=4))))
    after = fit_and_pin(plan_phase(fit_and_pin(plan_phase(before), 2)), 3)
    assert unfitted(after) == []
    assert pinned(before) == after


def test_what_is_learned_anew_takes_the_place_of_what_was_pinned(store, tiny_model):
    before = phase(store, tiny_model)
    first = fit_and_pin(plan_phase(before), 2)
    write_files(before.read.uri, {"d.jsonl": lines(good_rows(100, 150))})
    plan = plan_phase(before)
    again = pin(plan, 2, learned(plan, 2).artefact, anew=True)
    assert artefact(again) != artefact(first)
    assert pinned(before) == again


def vectors_of(base: str, model: object, **parts: object) -> None:
    """A table of floats, and a table made of that one without a model."""
    floats = vectors_phase(f"{base}/docs", f"{base}/floats", **parts)
    floats["steps"].pop()
    further = {"read": {"phase": "floats"}, "steps": [], "write": {"table": f"{base}/further"}}
    pipeline = built(model, floats=floats, further=further)
    run_pipeline(pipeline, LocalRunner(), Progress(quiet=True))


@pytest.mark.parametrize("table", ["floats", "further"])
def test_over_vectors_a_pin_holds_while_rows_come_and_not_for_another_model(
    tmp_path, tiny_model, table
):
    base = str(tmp_path)
    codes = Phase("codes", Source(uri=f"{base}/{table}"), (MEDIANS,), Write(f"{base}/codes"))
    write_files(f"{base}/docs", {"a.jsonl": lines(good_rows(0, 40))})
    vectors_of(base, tiny_model)
    after = fit_and_pin(plan_phase(codes), 0)
    assert pinned(codes) == after
    write_files(f"{base}/docs", {"b.jsonl": lines(good_rows(40, 60))})
    vectors_of(base, tiny_model)
    assert pinned(codes) == after
    vectors_of(base, tiny_model, encode={"pooling": "cls"})
    assert unfitted(pinned(codes)) == [0]


def test_a_phase_is_pinned_by_the_version_that_it_reads(tmp_path, tiny_model):
    base = str(tmp_path)
    write_files(f"{base}/docs", {"a.jsonl": lines(good_rows(0, 40))})
    codes = Phase("codes", Source(phase="floats"), (MEDIANS,), Write(f"{base}/codes"))
    vectors_of(base, tiny_model)
    old = {"floats": (f"{base}/floats", 0)}
    after = fit_and_pin(plan_phase(codes, old), 0)
    vectors_of(base, tiny_model, encode={"pooling": "cls"})
    assert pinned(codes, old) == after
    assert unfitted(pinned(codes, {"floats": (f"{base}/floats", 1)})) == [0]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    return kinds.prepared(tmp_path_factory.mktemp("kinds"))


PASSAGES = {"passages": {"model": "bert", "tokens": 8, "overlap": 0}}


def plan_of(root: Path, kind: str, first: Sequence[object] = ()) -> PhasePlan:
    told = kinds.phase(root, kind)
    told["steps"] = [*first, *told["steps"]]
    models = {name: {"path": str(root / "models" / name)} for name in kinds.BUILDERS}
    return plan_phase(parse(yaml.safe_dump({"models": models, "phases": {"rows": told}})).phases[0])


@pytest.mark.parametrize(
    ("kind", "first", "most"),
    [("dense", [PASSAGES], 12), ("late", [], 12), ("tokens", [], 60), ("dense", [], 12)],
    ids=["passages", "late chunking", "token vectors", "rows"],
)
def test_a_model_is_given_no_more_rows_than_a_codec_learns_from(
    models, monkeypatch, kind, first, most
):
    monkeypatch.setattr("pipelines.fit._FIRST", 4)
    plan = plan_of(models, kind, first)
    number = len(plan.phase.steps)
    with measured() as whole:
        every = sample_for(plan.job, plan.units, number)
    monkeypatch.setattr("pipelines.fit.TOKEN_VECTORS", 200)
    with measured() as some:
        sample = sample_for(plan.job, plan.units, number, most=most)
    assert len(every) >= len(kinds.DOCUMENTS)
    assert len(sample) == most or (kind == "tokens" and len(sample) < 30)
    assert some[MODEL_TOKENS] < whole[MODEL_TOKENS] / 2


def test_read_sample_leaves_a_codec_all_rows_to_learn_from(tmp_path, tiny_model):
    plan = plan_phase(phase(str(tmp_path), tiny_model, MEDIAN, read={"sample": 0.01}))
    assert len(sample_for(plan.job, plan.units, 2)) == 60
