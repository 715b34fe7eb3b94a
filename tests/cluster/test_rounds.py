"""Rounds of mining, scoring and ranking: by BM25 first, by a student's vectors later."""

from typing import Any

import pytest
import yaml

from cluster.commands import runner_named
from cluster.execute import run_pipeline
from cluster.progress import Progress
from operators.storage.table import Table
from pipelines.config import parse
from tests.lake import Lake
from tests.pipeline_builders import rows_of


def round_of(lake: Lake, number: int, sources: dict[str, Any]) -> None:
    """One run: negatives and triples of the round, scores of all rounds in one table."""
    mine = {"qrels": {"uri": str(lake.root / "beir/qrels/train.tsv")}, "rules": [], **sources}
    mine["selection"] = {"negatives": 2, "range_max": 20, "sampling": "random", "seed": number}
    negatives, triples = f"negatives-{number}", f"triples-{number}"
    teach = {"teacher": "cross-encoder", "model": "teacher"}
    parts = {
        negatives: ({"uri": lake.table("queries")}, [{"mine": mine}]),
        "scores": ({"phase": negatives}, [{"pairs": {}}, {"teach": teach}]),
        triples: (
            {"phase": negatives},
            [{"distil": {"scores": {"phase": "scores"}, "target": "udr", "missing": "refuse"}}],
        ),
    }
    phases = {
        name: {
            "read": read,
            "steps": steps,
            "write": {"table": str(lake.root / f"rounds-{name}"), "gate": {"max_bad_rows": 0.2}},
        }
        for name, (read, steps) in parts.items()
    }
    models = {"teacher": {"path": str(lake.teacher)}}
    config = yaml.safe_dump({"models": models, "phases": phases}, sort_keys=False)
    run_pipeline(parse(config), runner_named("local", ""), Progress())


def test_a_round_scores_only_what_it_found_first(embedded) -> None:
    place = str(embedded.root / "rounds-")
    round_of(embedded, 0, {"bm25": {}, "documents": {"uri": str(embedded.root / "beir")}})
    first = rows_of(f"{place}scores")
    round_of(embedded, 1, {"dense": [{"vectors": {"uri": embedded.table("documents")}}]})
    both = rows_of(f"{place}scores")
    old = dict(zip(first["id"].to_pylist(), first["logit"].to_pylist(), strict=True))
    new = dict(zip(both["id"].to_pylist(), both["logit"].to_pylist(), strict=True))
    assert old.items() < new.items()
    assert len(set(both["teacher"].to_pylist())) == 1
    assert Table(f"{place}scores").version() == 1
    for number in (0, 1):
        for row in rows_of(f"{place}triples-{number}").to_pylist():
            order = sorted(row["teacher_scores"], reverse=True)
            ranks = [1 / (1 + order.index(score)) for score in row["teacher_scores"]]
            assert row["targets"] == pytest.approx(ranks)
