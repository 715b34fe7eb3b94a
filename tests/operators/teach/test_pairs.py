"""Mined rows become pairs: each once, with the texts that were mined, and only the new ones."""

import json
from dataclasses import asdict, replace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.base import Operator
from operators.beside import Around, Beside
from operators.errors import ConfigError, ContractError, SourceError
from operators.model import Model
from operators.storage.parquet import write_shard
from operators.storage.table import Table
from operators.teach.pairs import PAIRS, Pairs
from operators.teach.teach import Teach
from operators.text.source import Source
from tests.corpora import planned, read

QUERIES = {"q1": "why the fox", "q2": "what of it", "q3": "why the fox"}
DOCUMENTS = {"d1": "the lazy dog", "d2": "of and", "d3": "the lazy dog", "d4": "東京 12%"}
LISTS = {"ids": pa.string(), "hashes": pa.binary(), "files": pa.string(), "rows": pa.int64()}


class Corpus:
    """Queries and documents on disk, and rows as `mine` writes them."""

    def __init__(self, home):
        self.queries = self._source(home / "queries.jsonl", QUERIES)
        self.documents = self._source(home / "documents.jsonl", DOCUMENTS)
        self.places = {
            row["id"]: row
            for source in (self.queries, self.documents)
            for row in read(source).to_pylist()
        }

    def _source(self, path, rows):
        lines = [json.dumps({"id": name, "text": text}) for name, text in rows.items()]
        path.write_text("\n".join(lines) + "\n")
        return planned(Source(uri=str(path)))[0].source

    def mined(self, *rows):
        """A negatives table of (query, positives, negatives) by id."""
        columns = {"query_id": pa.array([query for query, _, _ in rows], pa.string())}
        asked = [self.places[query] for query, _, _ in rows]
        for name in ("content_hash", "source_file", "source_row"):
            columns[name] = pa.array([row[name] for row in asked], read(self.queries)[name].type)
        for role, lists in (
            ("positive", [row[1] for row in rows]),
            ("negative", [row[2] for row in rows]),
        ):
            keys = {"ids": "id", "hashes": "content_hash"}
            keys |= {"files": "source_file", "rows": "source_row"}
            for part, key in keys.items():
                values = [[self.places[doc][key] for doc in docs] for docs in lists]
                columns[f"{role}_{part}"] = pa.array(values, pa.list_(LISTS[part]))
        return pa.table(columns)

    def pairs(self, table, teachers=("t",), known=None):
        step = Pairs(self.queries, self.documents, teachers, known or Beside())
        assert isinstance(step, Operator)
        bound = step.bind(table.schema)
        with step.open() as pairs:
            out = pairs(table)
        assert out.schema == bound == PAIRS
        return out


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return Corpus(tmp_path_factory.mktemp("pairs"))


def named(out, *columns):
    return list(zip(*(out[name].to_pylist() for name in columns), strict=True))


def test_every_positive_and_negative_is_a_pair_with_its_texts(corpus):
    out = corpus.pairs(corpus.mined(("q1", ["d1"], ["d2", "d4"]), ("q2", ["d4"], [])))
    wanted = [("q1", "d1"), ("q1", "d2"), ("q1", "d4"), ("q2", "d4")]
    assert named(out, "query_id", "doc_id") == wanted
    texts = [(QUERIES[query], DOCUMENTS[doc]) for query, doc in wanted]
    assert named(out, "query", "text") == texts
    assert out["doc_hash"].to_pylist()[0] == corpus.places["d1"]["content_hash"]


def test_equal_texts_are_one_pair_whoever_has_them(corpus):
    out = corpus.pairs(corpus.mined(("q1", ["d1"], ["d3", "d2"]), ("q3", ["d2"], ["d3", "d4"])))
    assert named(out, "query_id", "doc_id") == [("q1", "d1"), ("q1", "d2"), ("q3", "d4")]


def test_each_teacher_has_its_rows(corpus):
    out = corpus.pairs(corpus.mined(("q1", ["d1"], ["d2"])), ("t", "u", "t"))
    wanted = [("t", "d1"), ("t", "d2"), ("u", "d1"), ("u", "d2")]
    assert named(out, "teacher", "doc_id") == wanted
    assert len(set(out["id"].to_pylist())) == 4


def test_what_is_scored_already_does_not_come_again(corpus, tmp_path):
    table = corpus.mined(("q1", ["d1"], ["d2"]), ("q2", ["d4"], ["d2"]))
    first = corpus.pairs(table.slice(0, 1))
    shard = write_shard(str(tmp_path / "s"), "r", "u", first.drop_columns(["query", "text"]), {})
    Table(str(tmp_path / "s")).commit(-1, first.schema, [shard], {}, "k")
    known = Beside(uri=str(tmp_path / "s"), version=0)
    second = corpus.pairs(table, ("t", "u"), known)
    assert named(second, "teacher", "query_id", "doc_id") == [
        ("t", "q2", "d4"),
        ("t", "q2", "d2"),
        ("u", "q1", "d1"),
        ("u", "q1", "d2"),
        ("u", "q2", "d4"),
        ("u", "q2", "d2"),
    ]
    assert len(corpus.pairs(table.slice(0, 1), known=known)) == 0


def test_empty_inputs_give_no_pair(corpus):
    table = corpus.mined(("q1", ["d1"], ["d2"]))
    assert len(corpus.pairs(table.slice(0, 0))) == 0
    assert len(corpus.pairs(corpus.mined(("q1", [], [])))) == 0
    assert len(corpus.pairs(table, ())) == 0


LISTED = st.lists(st.sampled_from(sorted(DOCUMENTS)), max_size=4)
ROWS = st.lists(st.tuples(st.sampled_from(sorted(QUERIES)), LISTED, LISTED), max_size=6)


@given(rows=ROWS)
@settings(max_examples=25)
def test_pairs_are_the_distinct_pairs_of_texts(corpus, rows):
    out = corpus.pairs(corpus.mined(*rows))
    wanted = {(QUERIES[q], DOCUMENTS[d]) for q, a, b in rows for d in (*a, *b)}
    assert sorted(named(out, "query", "text")) == sorted(wanted)


def test_the_order_of_chunks_changes_nothing(corpus):
    rows = [("q1", ["d1"], ["d2"]), ("q2", ["d4"], ["d2"])]
    whole = corpus.mined(*rows)
    parts = pa.concat_tables([corpus.mined(row) for row in rows])
    assert corpus.pairs(parts) == corpus.pairs(whole)


def test_a_text_that_changed_is_an_error(corpus):
    table = corpus.mined(("q1", ["d1"], []))
    column = pa.array([corpus.places["q2"]["content_hash"]], pa.binary())
    spoilt = table.set_column(table.column_names.index("content_hash"), "content_hash", column)
    with pytest.raises(SourceError, match="has changed"):
        corpus.pairs(spoilt)


def test_columns_of_mined_rows_are_needed(corpus):
    table = corpus.mined(("q1", ["d1"], []))
    with pytest.raises(ContractError, match="pairs needs column 'negative_rows'"):
        Pairs().bind(table.drop_columns(["negative_rows"]).schema)


def test_it_does_not_open_before_the_plan_has_named_the_sources(corpus):
    step = Pairs(corpus.queries, corpus.documents)
    with (
        pytest.raises(ConfigError, match="has not named the sources"),
        replace(step, documents=None).open(),
    ):
        pass


@pytest.mark.parametrize(
    ("other", "teach", "refused"),
    [
        ("q3", {"teacher": "uni-encoder", "layout": "arrow"}, True),
        ("q3", {"teacher": "answer-likelihood", "answer": "a"}, True),
        ("q3", {"teacher": "uni-encoder", "layout": "isolated"}, False),
        ("q2", {"teacher": "uni-encoder", "layout": "arrow"}, False),
    ],
)
def test_queries_of_one_text_are_refused_where_a_score_hangs_on_more_than_the_texts(
    corpus, tmp_path, other, teach, refused
):
    """q1 and q3 have the same text, and lie in two shards."""
    parts = [corpus.mined(("q1", ["d1"], ["d2"])), corpus.mined((other, ["d3"], ["d4"]))]
    shards = [write_shard(str(tmp_path), "r", f"u{n}", part, {}) for n, part in enumerate(parts)]
    fields = {"queries": asdict(corpus.queries), "documents": asdict(corpus.documents)}
    told = {"config": {"steps": [{"mine": fields}]}}
    Table(str(tmp_path)).commit(-1, parts[0].schema, shards, told, "key")
    mined = Source(uri=str(tmp_path), format="delta", version=0)
    following = (Teach(Model("m"), fingerprint="t", **teach),)
    around = Around(mined, {}, Beside(), following, repr, repr)
    if not refused:
        assert Pairs().settled(around).teachers == ("t",)
        return
    with pytest.raises(ConfigError, match=r"1 queries of .* such as q3 that of q1; a teacher that"):
        Pairs().settled(around)


def test_of_a_list_that_is_scored_whole_all_pairs_come_again_if_one_is_new(corpus, tmp_path):
    first = corpus.pairs(corpus.mined(("q1", ["d1"], ["d2"]), ("q2", ["d1"], [])))
    place = str(tmp_path / "scores")
    Table(place).commit(-1, PAIRS, [write_shard(place, "r", "u", first, {})], {}, "key")
    table = corpus.mined(("q1", ["d1"], ["d2", "d4"]), ("q2", ["d1"], []))
    known = Beside(place, version=0)
    step = Pairs(corpus.queries, corpus.documents, ("t",), known, ("t",))
    with step.open() as pairs:
        assert named(pairs(table), "query_id", "doc_id") == [
            ("q1", "d1"),
            ("q1", "d2"),
            ("q1", "d4"),
        ]
