"""What a report sees in a table, and what it advises."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cluster.cli import status
from operators.storage.table import Table
from pipelines.report.advice import advice
from pipelines.report.charts import charts
from pipelines.report.facts import Facts, gathered
from pipelines.report.looked import FILES, VECTORS, compared
from pipelines.spec import Asked
from tests import versions
from tests.gated import Site
from tests.pipeline_builders import Row, good_rows


def site(folder: Path, model: Path, rows: Sequence[Row]) -> Site:
    found = Site(str(folder), model)
    found.put(a=rows)
    return found


def facts_of(table: str, version: int = -1) -> Facts:
    return gathered(table, version if version >= 0 else Table(table).version())


def told(facts: Facts) -> list[str]:
    return [one.what for one in advice(facts)]


def published(folder: Path, model: Path, rows: Sequence[Row], **parts: dict) -> Facts:
    place = site(folder, model, rows)
    place.publish(place.plan(**parts))
    return facts_of(place.table)


WORDS = {"encode": {"strategy": {"kind": "static-l0"}}}


def unlike_rows(count: int) -> list[Row]:
    """Rows of letters drawn at random, whose vectors differ without a trained network."""
    letters = np.random.default_rng(0).choice(list("abcdefghijklmnopqrstuvwxyz"), (count, 12))
    return [{"id": f"d{n}", "text": "".join(each)} for n, each in enumerate(letters)]


def test_a_sound_table_is_only_told_that_nothing_watches_it(tmp_path, tiny_model):
    facts = published(tmp_path, tiny_model, unlike_rows(60), **WORDS)
    (one,) = told(facts)
    assert one.startswith("No canary query watches this table")
    assert (facts.rows, facts.looked.rows, facts.looked.compared) == (60, 60, 60)
    assert sum(facts.looked.tokens) == facts.counts["tokens"]


def test_rows_that_are_quarantined_and_rows_that_were_cut_come_first_with_their_shares(
    tmp_path, tiny_model
):
    rows = [*unlike_rows(40), {"id": "blank", "text": " "}]
    short = {"tokenize": {"max_length": 9}, "gate": {"max_bad_rows": 1}}
    facts = published(tmp_path, tiny_model, rows, **short, **WORDS)
    bad, cut, *_ = told(facts)
    assert bad.startswith("1 row of 41 are quarantined: 1 × ")
    assert facts.counts["truncated"] == 40
    assert cut.startswith("100.0% of the rows encoded by this run are longer")


def test_vectors_that_do_not_tell_texts_apart_are_the_first_thing_said(tmp_path, tiny_model):
    rows = [{"id": f"d{n}", "text": f"the same words for everyone, then {n}"} for n in range(30)]
    same = {"tokenize": {"max_length": 6}, "quantize": {"keep_embedding": True}}
    facts = published(tmp_path, tiny_model, rows, **same)
    assert facts.looked.equal == 30
    assert (
        told(facts)[0] == "100.0% of 30 vectors looked at are the vector of another text as well."
    )


def test_a_version_published_against_its_gate_says_who_did_it_and_why(tmp_path, tiny_model):
    place = site(tmp_path, tiny_model, good_rows(0, 20))
    asked = Asked(forced_by="ada", forced_because="a test")
    place.publish(place.plan(asked, gate={"min_rows": 100}))
    first = advice(facts_of(place.table))[0]
    assert first.what == "It was published in spite of its gate: 20 rows, fewer than min_rows 100."
    assert first.do.startswith("ada said why: a test.")


def test_an_older_version_is_told_as_what_it_is(tmp_path, tiny_model):
    place = site(tmp_path, tiny_model, good_rows(0, 20))
    place.publish(place.plan())
    place.put(a=good_rows(0, 30))
    place.publish(place.plan())
    old, new = facts_of(place.table, 0), facts_of(place.table)
    assert (old.rows, len(old.history), len(new.history)) == (20, 1, 2)
    assert "Version 1 is the newest, this page is of version 0." in told(old)
    titles = {chart.title: chart for chart in charts(new)}
    assert [bar.height for bar in titles["Rows by version"].bars] == [20, 30]


def test_a_commit_of_somebody_else_is_told_as_one(tmp_path):
    from deltalake import write_deltalake

    write_deltalake(str(tmp_path / "theirs"), pa.table({"id": ["a"], "n_tokens": [3]}))
    facts = facts_of(str(tmp_path / "theirs"))
    assert told(facts) == ["This version was committed by something else than corpusmill."]


def test_it_looks_into_a_few_files_of_many_and_into_all_of_few(tmp_path):
    many = [versions.row(f"d{n}", text=f"{n}" * (n + 1)) for n in range(3 * FILES)]
    uri = str(tmp_path / "many")
    shards = [versions.shard(uri, "r", f"u{n:03d}", [each]) for n, each in enumerate(many)]
    Table(uri).commit(-1, versions.schema(), shards, {}, "key")
    facts = facts_of(uri)
    assert (facts.rows, facts.looked.rows) == (3 * FILES, FILES)
    assert facts.looked.compared == FILES <= VECTORS


def test_equal_vectors_count_where_their_texts_differ_and_not_where_they_are_the_same():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [-0.0, 1], [1, 1], [1, 1]], np.float32)
    texts = np.array([b"a", b"b", b"c", b"d", b"e", b"e"], object)
    cosines, equal = compared(vectors, texts)
    assert equal == 4
    assert len(cosines) <= 6
    assert np.abs(cosines).max() <= 1 + 1e-6
    assert compared(vectors[:1], texts[:1])[0].size == 0


def test_no_pair_of_one_text_is_compared_with_itself():
    vectors = np.ones((50, 3), np.float32)
    cosines, equal = compared(vectors, np.array([b"same"] * 50, object))
    assert (cosines.size, equal) == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere", "--out", "page.html"], "nowhere: there is no table"),
        (["table", "--out", "page.html", "--version", "7"], "has no version 7"),
        (["table"], "Missing option '--out'"),
    ],
)
def test_what_cannot_be_reported_is_said_in_a_sentence(
    tmp_path, monkeypatch, capsys, arguments, said
):
    shard = versions.shard(str(tmp_path / "table"), "r", "u", [versions.row("a")])
    Table(str(tmp_path / "table")).commit(-1, versions.schema(), [shard], {}, "key")
    monkeypatch.chdir(tmp_path)
    assert status(["report", *arguments]) in {1, 2}
    assert said in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()
