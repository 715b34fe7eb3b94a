"""What a config can ask of mining, over one lake whose documents and queries are embedded."""

from dataclasses import replace
from typing import Any

import pytest
import yaml

from cluster.cli import status
from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from operators.errors import SourceError
from operators.storage.table import Table
from pipelines.config import parse
from pipelines.plan import plan_phase
from pipelines.spec import Phase
from tests.lake import Lake
from tests.pipeline_builders import lineage_of, quarantined, rows_of

DENSE = {"vectors": {"phase": "documents"}}


@pytest.fixture
def lake(embedded: Lake, request: pytest.FixtureRequest) -> Lake:
    """The shared lake, with tables of mined negatives of its own for each test."""
    return replace(embedded, name=f"{request.node.name}-")


def mined(lake: Lake, **mine: Any) -> dict[str, dict[str, Any]]:
    """The rows of a mining by query id."""
    lake.run("local", last="negatives", mine=mine)
    return {row["query_id"]: row for row in rows_of(lake.table("negatives")).to_pylist()}


def ids(rows: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    return {query: row["negative_ids"] for query, row in rows.items()}


def test_each_negative_names_the_sources_that_proposed_it(lake) -> None:
    rows = mined(lake, dense=[DENSE | {"name": "tiny"}], bm25={})
    found = {each for row in rows.values() for each in row["sources"]}
    assert {"tiny", "bm25", "tiny+bm25"} >= found
    assert "tiny+bm25" in found


def test_queries_may_have_their_vectors_in_a_table_beside(lake) -> None:
    plain = mined(lake, bm25=None)
    beside = DENSE | {"queries": {"uri": lake.table("queries")}}
    other = mined(replace(lake, name="beside-"), bm25=None, dense=[beside])
    assert ids(other) == ids(plain)


def test_two_dense_sources_of_the_same_vectors_agree_with_one(lake) -> None:
    one = mined(lake, bm25=None)
    twin = DENSE | {"name": "twin", "queries": {"uri": lake.table("queries")}}
    both = mined(replace(lake, name="both-"), bm25=None, dense=[DENSE | {"name": "a"}, twin])
    assert ids(both) == ids(one)
    assert {each for row in both.values() for each in row["sources"]} == {"a+twin"}


def test_bm25_alone_mines_where_documents_are_named(lake) -> None:
    documents = {"uri": str(lake.root / "beir")}
    rows = mined(lake, dense=[], bm25={}, documents=documents)
    assert len(rows) == 27
    assert {each for row in rows.values() for each in row["sources"]} == {"bm25"}
    assert all(score > 0 for row in rows.values() for score in row["negative_scores"])


def test_a_query_short_of_negatives_is_left_out_filled_or_taken_as_it_is(lake) -> None:
    rules = [{"max-score": {"limit": -1.0}}]  # nothing is left of what was proposed
    few = mined(lake, rules=rules)
    assert all(row["negative_ids"] == [] and row["short"] for row in few.values())
    near = mined(replace(lake, name="near-"), bm25=None)
    limit = min(score for row in near.values() for score in row["negative_scores"])
    filled = mined(
        replace(lake, name="filled-"),
        bm25=None,
        rules=[{"max-score": {"limit": limit}}],
        selection={"negatives": 5, "range_max": 5, "shortage": "random"},
    )
    assert any("random" in row["sources"] for row in filled.values())
    assert all(score <= limit for row in filled.values() for score in row["negative_scores"])
    assert all(len(set(row["negative_ids"])) == len(row["negative_ids"]) for row in filled.values())
    dropped = replace(lake, name="dropped-")
    selection = {"negatives": 5, "range_max": 20, "shortage": "drop"}
    config = dropped.config(last="negatives", mine={"rules": rules, "selection": selection})
    path = dropped.root / "drop.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    assert status(["run", str(path)]) == 4  # no row is left


def test_another_seed_draws_other_negatives_and_the_same_seed_the_same(lake) -> None:
    selection = {"negatives": 3, "range_max": 30, "sampling": "random", "seed": 1}
    first = ids(mined(lake, selection=selection))
    again = ids(mined(replace(lake, name="again-"), selection=selection))
    other = ids(mined(replace(lake, name="other-"), selection=selection | {"seed": 2}))
    assert again == first
    assert other != first


def test_recall_of_an_approximate_index_is_stored_and_has_a_floor(lake, capsys) -> None:
    approximate = {"kind": "ivf", "lists": 8, "effort": 8, "sample": 6}
    rows = mined(lake, bm25=None, dense=[DENSE | {"approximate": approximate}])
    measured = [row["recall"] for row in rows.values() if row["recall"] is not None]
    assert len(measured) >= 6
    assert min(measured) == 1.0
    low = replace(lake, name="low-")
    dense = [DENSE | {"approximate": approximate | {"effort": 1, "min_recall": 1.0}}]
    config = low.config(last="negatives", mine={"bm25": None, "dense": dense})
    path = low.root / "low.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    assert status(["run", str(path)]) == 4
    assert "of the exact answer, less than min_recall 1" in capsys.readouterr().err
    assert Table(low.table("negatives")).version() == -1


@pytest.mark.parametrize("approximate", [{"kind": "hnsw"}, {"kind": "ivf", "effort": 99}])
def test_recall_of_a_coarse_column_is_of_the_hits_that_the_finer_one_ranks(
    lake, approximate
) -> None:
    codes = f"{lake.root}/{lake.name}codes"
    steps = [{"quantize": {"scheme": "binary", "keep_embedding": True}}]
    both = {"read": {"uri": lake.table("documents")}, "steps": steps, "write": {"table": codes}}
    run_pipeline(parse(yaml.safe_dump({"phases": {"codes": both}})), LocalRunner(), Progress())
    # so few are ranked again that bits and floats differ in what is best of them
    source = {"vectors": {"uri": codes}, "column": "bits", "rescored": 20}
    rows = mined(lake, bm25=None, depth=10, dense=[source | {"approximate": approximate}])
    exact = mined(replace(lake, name="exact-"), bm25=None, depth=10, dense=[source])
    assert ids(rows) == ids(exact)
    assert {row["recall"] for row in rows.values()} == {1.0}


def test_what_a_teacher_calls_relevant_is_dropped_in_a_second_mining(lake) -> None:
    lake.run("local", last="scores")
    second = replace(lake, name=f"{lake.name}second-")
    scores = {"uri": lake.table("scores")}
    mined(second, scores=scores, rules=[{"teacher": {"relevant": -1e9, "unscored": "keep"}}])
    dropped = lineage_of(second.table("negatives"))["audit"]["dropped"]
    assert dropped["teacher"] > 0
    known = {(row["query_id"], row["doc_id"]) for row in rows_of(lake.table("scores")).to_pylist()}
    for row in rows_of(second.table("negatives")).to_pylist():
        assert not {(row["query_id"], each) for each in row["negative_ids"]} & known


def test_the_audit_is_told_with_texts_to_read(lake, capsys) -> None:
    mined(lake)
    assert status(["table", "audit", lake.table("negatives"), "--examples", "3"]) == 0
    told = capsys.readouterr().out
    assert "dropped by positives" in told
    assert "masked positives" in told
    assert "3 kept as negatives" in told
    assert "text number" in told
    assert status(["table", "audit", lake.table("documents")]) == 1
    assert "it is no table of negatives" in capsys.readouterr().err


def test_queries_without_a_positive_in_the_index_are_named(lake) -> None:
    mined(lake)
    assert {("q28", "no positive"), ("q29", "no positive")} <= quarantined(lake.table("negatives"))


def negatives(lake: Lake, **mine: Any) -> Phase:
    """The phase that mines, as its config says it."""
    config = yaml.safe_dump(lake.config(last="negatives", mine=mine), sort_keys=False)
    return parse(config).phases[-1]


def planned(lake: Lake, phase: Phase) -> Phase:
    """The phase as a plan settles it."""
    tables = {each: (lake.table(each), 0) for each in ("documents", "queries")}
    return plan_phase(phase, tables).phase


def test_what_was_planned_is_planned_as_the_same(lake) -> None:
    once = planned(lake, negatives(lake, rules=["near-duplicate"]))
    assert planned(lake, once).steps == once.steps


def test_a_worker_that_reads_other_judgments_than_the_plan_fails(lake, tmp_path) -> None:
    qrels = tmp_path / "qrels.tsv"
    qrels.write_text("query-id\tcorpus-id\tscore\nq00\td000\t1\n")
    phase = planned(lake, negatives(lake, qrels={"uri": str(qrels)}, bm25=None))
    mine = phase.steps[0].operator
    with mine.open():
        pass
    with qrels.open("a") as file:
        file.write("q01\td001\t1\n")
    with pytest.raises(SourceError, match="the judgments have changed"), mine.open():
        pass
