"""`plan` tells what a run will do and take, and leaves no trace."""

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.cli import status
from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.outlook import outlook
from cluster.progress import Progress
from operators.base import Resources
from operators.encode import device
from operators.storage import uri as storage
from operators.storage.table import Table
from operators.text.source import Source
from pipelines.estimate import Estimate, Figure, estimate
from pipelines.forecast import Forecast, forecasts
from pipelines.plan import plan_phase
from pipelines.spec import Phase, Pipeline, Step, Write
from tests import corpora
from tests.pipeline_builders import built, config, vectors_phase
from tests.poison import Hang

ROWS = 1500
TEXTS: list[corpora.Row] = [
    (f"d{n:05d}", f"passage {n} of the corpus " + "and so on " * (n * 7 % 11)) for n in range(ROWS)
]


def chain(source: str, folder: str) -> dict[str, dict[str, Any]]:
    """Documents to passages, passages to vectors."""
    return {
        "passages": {
            "read": {"uri": source},
            "steps": [{"passages": {"model": "tiny", "tokens": 20, "overlap": 4}}],
            "write": {"table": storage.join(folder, "passages")},
        },
        "vectors": {
            **vectors_phase("", storage.join(folder, "vectors")),
            "read": {"phase": "passages", "keep": ["parent_id"]},
        },
    }


def everything_in(folder: str) -> list[tuple[str, float]]:
    return storage.list_ages(folder, deep=True)


@pytest.fixture
def source(tmp_path: Path) -> str:
    return corpora.put(str(tmp_path / "source"), a__jsonl=corpora.encode("jsonl", TEXTS))


def test_a_plan_writes_nothing_and_leaves_the_source_alone(store, tmp_path, tiny_model, capsys):
    docs = storage.join(store, "docs")
    corpora.put(docs, a__parquet=corpora.encode("parquet", TEXTS[:50]))
    place = tmp_path / "config.yaml"
    place.write_text(config(tiny_model, **chain(docs, storage.join(store, "out"))))
    before = everything_in(store)
    assert len(before) == 1
    assert status(["plan", str(place)]) == 0
    assert everything_in(store) == before
    assert "bytes written" in capsys.readouterr().out


@pytest.mark.parametrize("parts", [{}, {"quantize": {"scheme": "binary", "center": "median"}}])
def test_binding_a_plan_imports_neither_torch_nor_ray_nor_transformers(
    tmp_path, source, tiny_model, project, parts
):
    place = tmp_path / "config.yaml"
    place.write_text(config(tiny_model, v=vectors_phase(source, str(tmp_path / "out"), **parts)))
    code = (
        "import sys; from pipelines.config import load; from pipelines.plan import plan_phase; "
        "from pipelines.fit import pinned; from pipelines.estimate import estimate; "
        f"plan = plan_phase(pinned(load({str(place)!r}).phases[0])); "
        "print(len(plan.units), round(estimate(plan, 0, untimed='so').tokens.value) > 0); "
        "print(*{'torch', 'ray', 'transformers'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    counted, heavy = done.stdout.split("\n")[:2]
    assert counted.endswith("True")
    assert heavy == ""


def test_without_a_probe_rows_tokens_and_truncation_are_told_and_the_rest_says_why(
    tmp_path, source, tiny_model, capsys
):
    place = tmp_path / "config.yaml"
    place.write_text(config(tiny_model, v=vectors_phase(source, str(tmp_path / "out"))))
    assert status(["plan", str(place), "--no-probe"]) == 0
    told = figures(capsys.readouterr().out)
    assert told["rows"].startswith("1,5") or told["rows"].startswith("1,4")
    assert "sampled rows tokenized" in told["tokens"]
    assert "%" in told["truncated rows"]
    for name in ("bytes written", "hours", "cost"):
        assert told[name].split("  ")[0] == "not estimated"
        assert told[name].endswith("no model was loaded")


@pytest.mark.parametrize("form", ["parquet", "jsonl", "jsonl.gz", "csv"])
def test_what_is_estimated_is_what_a_run_then_measures(tmp_path, tiny_model, form):
    docs = corpora.put(
        str(tmp_path / "source"), **{f"a__{form.replace('.', '__')}": corpora.encode(form, TEXTS)}
    )
    read = {"read": {"unit_bytes": 20_000}}
    pipeline = built(tiny_model, v=vectors_phase(docs, str(tmp_path / "out"), **read))
    found = forecast_of(pipeline)
    (result,) = run_pipeline(pipeline, LocalRunner(), Progress(quiet=True))
    counts = result.counts
    assert counts is not None
    assert within(found.rows, counts.rows_in, 0.1)
    assert within(found.tokens, counts.tokens, 0.1)
    assert within(found.truncated, counts.truncated / counts.rows_out, 0.1)
    assert within(found.bad_rows, 0, 0.0)
    files = Table(result.table).files()
    assert within(found.size, sum(file.size for file in files), 0.2)


def test_with_a_probe_hours_cost_and_bytes_are_told(tmp_path, source, tiny_model, capsys):
    place = tmp_path / "config.yaml"
    budget = "budget: { price_per_hour: 100 }\n"
    phase = vectors_phase(source, str(tmp_path / "out"))
    place.write_text(config(tiny_model, v=phase) + budget)
    assert status(["plan", str(place)]) == 0
    told = figures(capsys.readouterr().out)
    hours = float(told["hours"].split()[0])
    assert 0 < hours < 1
    assert float(told["cost"].split()[0]) == pytest.approx(100 * hours, abs=0.01)
    assert told["cost"].endswith("hours × 1 workers × 100 an hour")
    assert told["bytes written"].endswith("sampled rows written to memory as a shard")


@pytest.mark.skipif(device.pick("auto").type != "cpu", reason="a GPU is here")
def test_no_hours_of_gpus_are_reckoned_on_a_cpu(tmp_path, source, tiny_model, capsys):
    phases = {name: vectors_phase(source, str(tmp_path / name)) for name in ("cpus", "gpus")}
    phases["gpus"]["steps"][1]["resources"] = {"gpus": 1}
    place = tmp_path / "config.yaml"
    place.write_text(config(tiny_model, **phases))
    assert status(["plan", str(place)]) == 0
    cpus, gpus = capsys.readouterr().out.split("phase gpus:")
    assert "the slowest step timed here on" in figures(cpus)["hours"]
    assert figures(gpus)["hours"].split(maxsplit=2)[2] == "no GPU is here to time it on"


@settings(max_examples=15, deadline=None)
@given(limit=st.integers(0, 2000), share=st.sampled_from([1.0, 0.5]))
@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_limit_and_sample_bound_the_rows(tmp_path_factory, form, limit, share):
    docs = tmp_path_factory.mktemp("docs")
    corpora.put(str(docs), **{f"a__{form}": corpora.encode(form, TEXTS, 100)})
    read = Source(uri=str(docs), limit=limit, sample=share, unit_bytes=9000)
    phase = Phase("rows", read, (), Write(str(docs / "out")))
    rows = estimate(plan_phase(phase), 0).rows
    exact = min(limit or ROWS, ROWS) * share
    assert rows.value <= (limit or ROWS * 1.2)
    assert within(rows, exact, 0.1)


def test_a_source_that_is_sampled_whole_is_told_exactly(tmp_path):
    docs = corpora.put(str(tmp_path / "docs"), a__jsonl=corpora.encode("jsonl", TEXTS[:40]))
    phase = Phase("rows", Source(uri=docs), (), Write(str(tmp_path / "out")))
    assert estimate(plan_phase(phase), 0).rows == Figure(40, 0.0, "all of them read")


def test_a_damaged_file_does_not_keep_a_plan_from_its_estimate(tmp_path):
    data = corpora.encode("parquet", TEXTS[:40])
    docs = corpora.put(str(tmp_path / "docs"), a__parquet=data, b__parquet=data[:-5])
    phase = Phase("rows", Source(uri=docs), (), Write(str(tmp_path / "out")))
    assert estimate(plan_phase(phase), 0).rows.value == 40


def test_a_scheme_that_has_to_learn_first_says_so(tmp_path, source, tiny_model):
    parts = {"quantize": {"scheme": "binary", "center": "median"}}
    phase = vectors_phase(source, str(tmp_path / "out"), **parts)
    found = forecast_of(built(tiny_model, v=phase))
    assert (found.size, found.unknown) == (None, "quantize has to learn")
    assert found.hours is not None


def test_the_rate_of_a_last_run_shares_a_name_among_all_workers_of_that_name(
    tmp_path, source, tiny_model
):
    (phase,) = built(tiny_model, v=vectors_phase(source, str(tmp_path / "out"))).phases
    words = (("molasses", 4), ("tar", 2))
    twins = tuple(Step(Hang(word), Resources(workers=n)) for word, n in words)
    told = {"tokens": 1000, "seconds": {"hang": 60.0, "encode": 6.0, "write": 99.0}}
    plan = replace(
        plan_phase(phase),
        phase=replace(phase, steps=(phase.steps[0], *twins, *phase.steps[1:])),
        committed={"counts": told},
    )
    found = estimate(plan, 0, untimed="so")
    assert found.tokens is not None
    assert found.hours is not None
    assert found.hours.value == pytest.approx(60 / 6 / 1000 * found.tokens.value / 3600)


def test_a_phase_that_reads_what_is_not_there_yet_is_bound_and_estimated(tmp_path, tiny_model):
    docs = corpora.put(str(tmp_path / "source"), a__jsonl=corpora.encode("jsonl", TEXTS[:300]))
    pipeline = built(tiny_model, **chain(docs, str(tmp_path / "out")))
    passages, vectors = forecasts(pipeline, probe=True)
    assert vectors.plan is None
    assert vectors.schema.names[:3] == ["id", "content_hash", "parent_id"]
    assert "reads what phase passages has yet to commit" in "\n".join(outlook(vectors))
    assert not (tmp_path / "out").exists()
    _, ran = run_pipeline(pipeline, LocalRunner(), Progress(quiet=True))
    assert ran.counts is not None
    assert passages.found is not None
    assert vectors.found is not None
    assert within(vectors.found.rows, ran.counts.rows_in, 0.1)
    assert within(vectors.found.tokens, ran.counts.tokens, 0.1)
    assert within(vectors.found.size, sum(f.size for f in Table(ran.table).files()), 0.2)
    again = list(forecasts(pipeline, probe=False))
    assert [forecast.nothing_to_do for forecast in again] == [True, True]
    assert "nothing changed since version 0" in "\n".join(outlook(again[1]))


def test_a_phase_behind_a_model_that_was_not_loaded_is_bound_all_the_same(tmp_path, tiny_model):
    docs = corpora.put(str(tmp_path / "source"), a__jsonl=corpora.encode("jsonl", TEXTS[:30]))
    first = vectors_phase(docs, str(tmp_path / "first"))
    read = {"phase": "first", "text": "id", "keep": ["codes", "scale"]}
    second = {"read": read, "write": {"table": str(tmp_path / "second")}}
    _, told = forecasts(built(tiny_model, first=first, second=second), probe=False)
    assert told.found is None
    assert {"codes", "scale"} <= set(told.schema.names)
    assert "nothing tells how much that will be" in "\n".join(outlook(told))


def test_a_column_that_a_later_phase_lacks_is_missed_by_the_plan(tmp_path, tiny_model, capsys):
    docs = corpora.put(str(tmp_path / "source"), a__jsonl=corpora.encode("jsonl", TEXTS[:30]))
    phases = chain(docs, str(tmp_path / "out"))
    phases["vectors"]["read"]["keep"] = ["langauge"]
    place = tmp_path / "config.yaml"
    place.write_text(config(tiny_model, **phases))
    assert status(["plan", str(place), "--no-probe"]) == 2
    assert "needs column 'langauge'" in capsys.readouterr().err


def test_a_plan_says_which_version_a_run_would_build_on(tmp_path, source):
    write = Write(str(tmp_path / "out"))
    pipeline = Pipeline((Phase("rows", Source(uri=source), (), write),))
    state = "\n".join(outlook(only(pipeline)))
    assert "1 file, " in state
    assert "makes a new table" in state
    run_pipeline(pipeline, LocalRunner(), Progress(quiet=True))
    assert "nothing changed since version 0" in "\n".join(outlook(only(pipeline)))
    changed = replace(pipeline.phases[0], read=Source(uri=source, limit=5))
    assert "builds on version 0" in "\n".join(outlook(only(Pipeline((changed,)))))


def only(pipeline: Pipeline) -> Forecast:
    (forecast,) = forecasts(pipeline, probe=True)
    return forecast


def forecast_of(pipeline: Pipeline) -> Estimate:
    found = only(pipeline).found
    assert found is not None
    return found


def within(figure: Figure | None, truth: float, share: float) -> bool:
    """Whether the truth lies in the stated interval, or that share of it beside the figure."""
    assert figure is not None
    return abs(figure.value - truth) <= max(figure.margin, share * truth)


def figures(out: str) -> Mapping[str, str]:
    """The figures of a plan by name."""
    found = re.findall(r"^  ([a-z ]+?)  +(\S.*)$", out, re.MULTILINE)
    return dict(found)
