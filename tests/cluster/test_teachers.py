"""Teachers that are more than a model of pairs, from a config to a committed table of scores."""

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
import yaml

from cluster.commands import runner_named
from cluster.execute import run_pipeline
from cluster.progress import Progress
from operators.beside import Beside
from operators.distil.teachers import fingerprints_of
from operators.errors import CorpusmillError
from operators.storage.table import Table
from pipelines.config import parse
from pipelines.spec import BY_HAND, Asked
from tests.lake import Lake
from tests.pipeline_builders import lineage_of, rows_of
from tests.tiny_heads import build_colbert
from tests.tiny_models import build_uni_encoder


@pytest.fixture(scope="module")
def mined(embedded: Lake, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The shared lake with mined negatives, its teacher a uni-encoder."""
    folder = build_uni_encoder(tmp_path_factory.mktemp("teachers") / "uni")
    lake = replace(embedded, name="teachers-", teacher=folder)
    lake.run("local", last="negatives")
    return lake


def run(
    lake: Lake, table: str, steps: list[dict[str, Any]], unit_bytes: int = 0, asked: Asked = BY_HAND
) -> pa.Table:
    """The rows that a phase makes of the mined ones, by query and document."""
    phase = {
        "read": {"uri": lake.table("negatives"), "unit_bytes": unit_bytes},
        "steps": [{"pairs": {}}, *steps],
        "write": {"table": lake.table(table), "gate": {"max_bad_rows": 0}},
    }
    models = {"teacher": {"path": str(lake.teacher)}, "tiny": {"path": str(lake.encoder)}}
    pipeline = parse(yaml.safe_dump({"models": models, "phases": {"scores": phase}}))
    run_pipeline(pipeline, runner_named("local", ""), Progress(), asked)
    return rows_of(lake.table(table)).sort_by([("query_id", "ascending"), ("doc_id", "ascending")])


def uni(layout: str) -> list[dict[str, Any]]:
    return [{"teach": {"teacher": "uni-encoder", "model": "teacher", "layout": layout}}]


def test_how_the_rows_are_cut_changes_no_logit_even_where_it_depends_on_its_list(mined) -> None:
    whole = run(mined, "arrow-whole", uni("arrow"))
    cut = run(mined, "arrow-cut", uni("arrow"), unit_bytes=6000)
    tables = [Table(mined.table(f"arrow-{how}")) for how in ("whole", "cut")]
    assert [len(table.files(0)) > 1 for table in tables] == [False, True]
    assert len(whole) >= 27 * 5
    assert cut.drop_columns(["logit"]).equals(whole.drop_columns(["logit"]))
    assert cut["logit"].to_pylist() == pytest.approx(whole["logit"].to_pylist(), abs=1e-4)


def test_deeper_mining_scores_lists_anew_only_where_a_logit_depends_on_its_list(mined) -> None:
    lake = replace(mined, name="deeper-")
    lake.run("local", last="negatives", mine={"selection": {"negatives": 2, "range_max": 20}})
    few = {layout: run(lake, layout, uni(layout)) for layout in ("isolated", "square")}
    lake.run("local", last="negatives", mine={"selection": {"negatives": 3, "range_max": 20}})
    every = {layout: run(lake, layout, uni(layout)) for layout in few}
    assert [len(set(every[layout]["teacher"].to_pylist())) for layout in few] == [1, 2]
    assert len(every["isolated"]) > len(few["isolated"]) == len(few["square"])
    assert len(every["square"]) == len(every["isolated"]) + len(few["square"])


def test_a_colbert_scores_the_mined_pairs_without_a_cross_encoder(mined, tmp_path) -> None:
    lake = replace(mined, teacher=build_colbert(tmp_path / "colbert"))
    teach = {"teacher": "maxsim", "model": "teacher", "language": "pt_BR"}
    scores = run(lake, "maxsim", [{"teach": teach}])
    assert len(scores) >= 27 * 5
    assert all(0 < logit <= 32.001 for logit in scores["logit"].to_pylist())


def test_a_head_learns_a_teacher_from_stored_vectors_and_scores_deeper_mining(mined) -> None:
    run(mined, "of-teacher", [{"teach": {"teacher": "bi-encoder", "model": "tiny"}}])
    tables = {name: {"uri": mined.table(name)} for name in ("queries", "documents")}
    dse = {"scores": {"uri": mined.table("of-teacher")}, **tables, "hidden": 64, "rate": 0.01}
    lake = replace(mined, name="headed-")
    lake.run("local", last="negatives", mine={"selection": {"negatives": 9, "range_max": 20}})
    scores = run(lake, "cheap", [{"dse": dse}], unit_bytes=20_000)
    assert scores.schema.names.count("logit") == 1
    assert scores["logit"].null_count == 0
    assert len(scores) > len(rows_of(mined.table("of-teacher")))
    (teacher,) = set(scores["teacher"].to_pylist())
    lineage = lineage_of(lake.table("cheap"))
    (step,) = [each["dse"] for each in lineage["config"]["steps"] if "dse" in each]
    assert (step["fingerprint"], step["artefact"].endswith(".safetensors")) == (teacher, True)
    assert 0.2 < lineage["dse"]["explained"] <= 1
    assert run(lake, "cheap", [{"dse": dse}], unit_bytes=20_000).equals(scores)
    assert Table(lake.table("cheap")).version() == 0
    run(lake, "cheap", [{"dse": {**dse, "seed": 1}}])
    assert len(set(rows_of(lake.table("cheap"))["teacher"].to_pylist())) == 2
    beside = Beside(uri=lake.table("cheap"), version=0)
    assert fingerprints_of(beside, ("dse",)) == (teacher,)
    run(mined, "of-other", [{"teach": {"teacher": "bi-encoder", "model": "tiny", "max_length": 8}}])
    moved = {**dse, "scores": {"uri": mined.table("of-other")}}
    with pytest.raises(
        CorpusmillError, match=r"fitted on another teacher .* `run --refit` fits anew"
    ):
        run(lake, "cheap", [{"dse": moved}])
    assert Table(lake.table("cheap")).version() == 1
    run(lake, "cheap", [{"dse": moved}], asked=Asked(refit=True))
    assert len(set(rows_of(lake.table("cheap"))["teacher"].to_pylist())) == 3
