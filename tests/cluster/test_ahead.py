"""What a later phase would be refused for is found before the first one has done any work."""

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.cli import status
from operators.storage.table import Table
from pipelines.ahead import sure_to_run
from pipelines.plan import plan_phase
from pipelines.spec import Asked, Phase
from tests.lake import Lake, beir
from tests.pipeline_builders import built, config, good_rows, ids_of, lines, write_files


@pytest.fixture
def fresh(tmp_path: Path, tiny_model: Path, tiny_teacher: Path) -> Lake:
    """A lake in which no phase has run."""
    beir(tmp_path)
    return Lake(tmp_path, tiny_model, tiny_teacher)


def written(lake: Lake, config: dict[str, Any]) -> str:
    path = lake.root / "config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return str(path)


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(
    ("changes", "code", "phrase"),
    [
        ({"mine": {"qrels": {"uri": "/nowhere.tsv"}}}, 1, "source /nowhere.tsv"),
        ({"teach": [{"teacher": "cross-encoder", "model": "tiny"}]}, 2, "model"),
        ({"teach": []}, 2, "pairs: no teach step follows it"),
    ],
)
def test_training_that_cannot_be_is_refused_before_a_document_is_embedded(
    fresh, capsys, command, changes, code, phrase
):
    place = written(fresh, fresh.config(**changes))
    assert status([command, place, *(["--no-probe"] if command == "plan" else [])]) == code
    assert phrase in capsys.readouterr().err
    assert Table(fresh.table("documents")).version() == -1


def test_a_package_that_a_later_phase_needs_is_missed_before_a_document_is_embedded(
    fresh, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "bm25s", None)  # as where it is not installed
    assert status(["run", written(fresh, fresh.config())]) == 2
    assert "bm25 needs the package bm25s" in capsys.readouterr().err
    assert Table(fresh.table("documents")).version() == -1


@pytest.mark.parametrize(
    ("phase", "change", "phrase"),
    [
        ("negatives", {"gate": {"canaries": {"queries": "/nowhere.jsonl"}}}, "canaries need"),
        ("queries", {"gate": {"canaries": {"queries": "/nowhere.jsonl"}}}, "/nowhere.jsonl"),
    ],
)
def test_canaries_that_a_later_phase_cannot_ask_are_missed_before_a_document_is_embedded(
    fresh, capsys, phase, change, phrase
):
    asked = fresh.config()
    asked["phases"][phase]["write"].update(change)
    assert status(["run", written(fresh, asked)]) in {1, 2}
    assert phrase in capsys.readouterr().err
    assert Table(fresh.table("documents")).version() == -1


def test_a_table_beside_a_later_phase_is_missed_before_a_document_is_embedded(fresh, capsys):
    mine = {"dense": [{"vectors": {"phase": "documents"}, "queries": {"uri": "/nowhere"}}]}
    assert status(["run", written(fresh, fresh.config(mine=mine))]) == 1
    assert "/nowhere: there is no Delta table" in capsys.readouterr().err
    assert Table(fresh.table("documents")).version() == -1


def test_the_columns_of_pairs_are_planned_by_the_teachers_behind_them(fresh, capsys):
    asked = fresh.config(last="scores")
    steps = asked["phases"]["scores"]["steps"]
    beside = {"phase": "queries"}
    steps.append({"dse": {"scores": beside, "queries": beside, "documents": beside}})
    del steps[1]
    assert status(["plan", written(fresh, asked), "--no-probe"]) == 0
    (told,) = [row for row in capsys.readouterr().out.splitlines() if "logit" in row]
    assert "text" not in told


@pytest.mark.ray
def test_on_ray_what_a_later_phase_asks_of_the_cluster_is_refused_before_a_document_is_embedded(
    fresh, capsys, ray_started
):
    asked = fresh.config()
    asked["phases"]["scores"]["steps"][1]["resources"] = {"gpus": 99}
    assert status(["run", written(fresh, asked), "--runner", "ray"]) == 3
    assert "1 teach worker × 99 = 99 GPUs" in capsys.readouterr().err
    assert Table(fresh.table("documents")).version() == -1


@pytest.mark.parametrize("place", ["first", "first/data/*/*.parquet"])
def test_a_phase_reads_by_uri_what_an_earlier_one_has_yet_to_write(tmp_path, tiny_model, place):
    docs = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(good_rows(0, 5))})
    first = {"read": {"uri": docs}, "write": {"table": str(tmp_path / "first")}}
    read = {"uri": str(tmp_path / place), "text": "text" if "*" in place else "id"}
    second = {"read": read, "write": {"table": str(tmp_path / "second")}}
    path = tmp_path / "config.yaml"
    path.write_text(config(tiny_model, first=first, second=second))
    assert status(["run", str(path)]) == 0
    assert ids_of(str(tmp_path / "second")) == [f"d{n:04d}" for n in range(5)]


def test_sure_to_run_are_phases_that_read_the_changed_one_or_have_no_table_yet(
    tmp_path, tiny_model
):
    docs = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(good_rows(0, 5))})
    reads = {"a": {"uri": docs}, "b": {"uri": docs}, "c": {"phase": "a"}, "d": {"phase": "c"}}
    phases = {
        name: {"read": read | {"text": "id"}, "write": {"table": str(tmp_path / name)}}
        for name, read in reads.items()
    }
    first, *later = built(tiny_model, **phases).phases
    plan = plan_phase(first)
    assert names(sure_to_run(plan, later)) == ["b", "c", "d"]
    path = tmp_path / "config.yaml"
    path.write_text(config(tiny_model, **phases))
    assert status(["run", str(path)]) == 0
    assert names(sure_to_run(plan, later)) == ["c", "d"]
    assert names(sure_to_run(replace(plan, asked=Asked(nonce="again")), later)) == ["b", "c", "d"]
    assert names(sure_to_run(replace(plan, asked=Asked(refit=True)), later)) == []


def names(phases: Iterable[Phase]) -> list[str]:
    return [phase.name for phase in phases]
