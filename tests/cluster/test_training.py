"""From queries and judgments to triples: one pipeline, the same tables on both runners."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import psutil
import pyarrow.compute as pc
import pytest

from cluster.cli import status
from operators.storage.table import Table
from tests.lake import QRELS
from tests.pipeline_builders import lineage_of, quarantined, rows_of

RAY = pytest.param("ray", marks=pytest.mark.ray)
on_every_runner = pytest.mark.parametrize("runner", ["local", RAY])


@pytest.fixture
def started(request: pytest.FixtureRequest) -> Callable[[str], str]:
    def name(runner: str) -> str:
        if runner == "ray":
            request.getfixturevalue("ray_started")
        return runner

    return name


@on_every_runner
def test_the_whole_pipeline_becomes_triples(lake, started, runner):
    results = lake.run(started(runner), parts=2)
    negatives = rows_of(lake.table("negatives"))
    assert negatives["query_id"].to_pylist() == [f"q{n:02d}" for n in range(27)]
    judged = {tuple(line.split("\t")[:2]) for line in QRELS.splitlines()}
    for row in negatives.to_pylist():
        assert len(row["negative_ids"]) == 5 == len(set(row["negative_ids"]))
        assert not {(row["query_id"], each) for each in row["negative_ids"]} & judged
        assert "twin" not in row["negative_ids"] or row["query_id"] != "q00"
    assert ("q28", "no positive") in quarantined(lake.table("negatives"))
    counts = results["negatives"].counts
    assert counts is not None
    assert counts.left_out == {"left out, not judged": 1}
    assert counts.quarantined == 2
    scores = rows_of(lake.table("scores"))
    pairs = {(row["query_id"], row["doc_id"]) for row in scores.to_pylist()}
    assert len(pairs) == len(scores) >= 27 * 5
    triples = rows_of(lake.table("triples"))
    assert len(triples) == 27 + 10
    assert all(len(row["targets"]) for row in triples.to_pylist())


@pytest.mark.ray
def test_local_and_ray_with_any_number_of_index_parts_mine_the_same(lake, started):
    lake.run("local", last="negatives")
    local = rows_of(lake.table("negatives"))
    started("ray")
    for parts in (1, 3):
        other = replace(lake, name=f"in-{parts}-parts-")
        other.run("ray", last="negatives", parts=parts)
        assert rows_of(other.table("negatives")).equals(local)


def test_a_second_run_changes_nothing_and_a_second_teacher_scores_only_for_itself(lake):
    lake.run("local", last="scores")
    first = rows_of(lake.table("scores"))
    again = lake.run("local", last="scores")
    assert all(result.counts is None for result in again.values())
    cross = {"teacher": "cross-encoder", "model": "teacher"}
    both = [cross, {"teacher": "bi-encoder", "model": "tiny"}]
    more = lake.run("local", last="scores", teach=both)["scores"]
    assert more.counts is not None
    assert more.counts.rows_out == len(first)
    every = rows_of(lake.table("scores"))
    assert len(every) == 2 * len(first)
    old = every.filter(pc.is_in(every["id"], first["id"].combine_chunks()))
    assert old.equals(first)


def test_deeper_mining_scores_only_the_pairs_that_are_new(lake):
    lake.run("local", last="scores")
    first = set(rows_of(lake.table("scores"))["id"].to_pylist())
    selection = {"negatives": 8, "range_max": 20}
    more = lake.run("local", last="scores", mine={"selection": selection})["scores"]
    every = set(rows_of(lake.table("scores"))["id"].to_pylist())
    assert first < every
    assert more.counts is not None
    assert more.counts.rows_out == len(every - first)


def test_the_commit_of_negatives_records_its_audit(lake):
    lake.run("local", last="negatives")
    audit = lineage_of(lake.table("negatives"))["audit"]
    assert audit["queries"] == 27
    assert audit["dropped"]["positives"] > 0
    assert audit["masked"] == 10
    rows = rows_of(lake.table("negatives")).to_pylist()
    for row in rows:
        assert row["candidates"] >= len(row["negative_ids"]) + sum(row["dropped_counts"])
    assert audit["negatives"] == sum(len(row["negative_ids"]) for row in rows)


def test_an_audit_whose_texts_have_changed_names_its_examples(lake, capsys):
    lake.run("local", last="negatives")
    corpus = lake.root / "beir" / "corpus.jsonl"
    corpus.write_text(corpus.read_text().replace("text number", "other words"))
    assert status(["table", "audit", lake.table("negatives"), "--examples", "2"]) == 0
    told = capsys.readouterr().out
    assert "2 kept as negatives\nno texts: " in told
    assert re.search(r"score -?[0-9.]+: q[0-9]{2}, d[0-9]{3}", told)


def test_a_judged_document_that_is_not_in_the_index_is_counted(lake):
    lake.run("local", last="negatives")
    missing = {
        row["query_id"]: row["missing_positives"]
        for row in rows_of(lake.table("negatives")).to_pylist()
    }
    assert missing["q03"] == 1
    assert sum(missing.values()) == 1


def test_every_table_can_be_verified(lake):
    from pipelines.verify import verify_table

    lake.run("local")
    told = {}
    for phase in ("negatives", "scores", "triples"):
        *_, told[phase] = verify_table(lake.table(phase))
        assert Table(lake.table(phase)).version() == 0
    assert told == {
        "negatives": "27 rows made again: equal",
        "scores": "no row made again: a run makes only the rows that the table has not",
        "triples": "32 rows made again: equal",
    }


@pytest.mark.ray
def test_on_ray_an_index_part_that_is_killed_changes_nothing(lake, started):
    lake.run("local", last="negatives")
    started("ray")
    other = replace(lake, name="killed-")
    with killed_once("IndexPart") as killed:
        other.run("ray", last="negatives", parts=2)
    assert killed
    assert rows_of(other.table("negatives")).equals(rows_of(lake.table("negatives")))


@contextmanager
def killed_once(name: str) -> Iterator[list[int]]:
    """Kill the first actor of a class that is seen at work; the list gets its process."""
    killed: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not killed and not over.wait(0.02):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    if f"ray::{name}.call" in " ".join(process.cmdline()):
                        process.kill()
                        killed.append(process.pid)
                        return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield killed
    finally:
        over.set()
        watcher.join()
