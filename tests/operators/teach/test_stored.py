"""Scores are found by the id of their pair, in whichever shard they are."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.storage.parquet import write_shard
from operators.storage.table import Table
from operators.teach.stored import StoredScores, known, pair_ids

SCHEMA = pa.schema([("id", pa.string()), ("logit", pa.float32())])
NONE = pa.array([], pa.binary())


def hashes(*names):
    digests = [hashlib.blake2b(name.encode(), digest_size=16).digest() for name in names]
    return pa.array(digests, pa.binary())


def scores(folder, *shards):
    """A table whose shards hold (query, document, teacher, logit)."""
    written = []
    for place, rows in enumerate(shards):
        queries, docs, teachers, logits = zip(*rows, strict=True)
        ids = pair_ids(hashes(*queries), hashes(*docs), pa.array(teachers))
        table = pa.table([ids, pa.array(logits, pa.float32())], schema=SCHEMA)
        written.append(write_shard(str(folder), "r", f"u{place}", table, {}))
    Table(str(folder)).commit(-1, SCHEMA, written, {}, "k")
    return str(folder)


@pytest.fixture
def table(tmp_path):
    first = [("q1", "d1", "t", 1.5), ("q1", "d2", "t", -2.0), ("q1", "d1", "u", 9.0)]
    return scores(tmp_path / "scores", first, [("q2", "d1", "t", 0.25)])


def test_an_id_is_the_hash_of_the_hashes_and_the_teacher():
    (found,) = pair_ids(hashes("q"), hashes("d"), pa.array(["t"])).to_pylist()
    whole = hashes("q")[0].as_py() + hashes("d")[0].as_py() + b"t"
    assert found == hashlib.blake2b(whole, digest_size=16).hexdigest()
    assert pair_ids(NONE, NONE, pa.array([], pa.string())).to_pylist() == []


@given(st.lists(st.tuples(st.text(max_size=2), st.text(max_size=2)), max_size=20, unique=True))
def test_ids_of_different_pairs_differ(pairs):
    queries, docs = hashes(*(a for a, _ in pairs)), hashes(*(b for _, b in pairs))
    ids = pair_ids(queries, docs, pa.array(["t"] * len(pairs), pa.string()))
    assert len(set(ids.to_pylist())) == len(pairs)


def test_scores_come_in_the_order_asked_and_nan_where_there_is_none(table):
    stored = StoredScores(table, 0, "t")
    queries = hashes("q2", "q1", "q1", "q2", "q1")
    found = stored.of(queries, hashes("d1", "d2", "d1", "d2", "d2"))
    np.testing.assert_array_equal(found, np.array([0.25, -2, 1.5, np.nan, -2], np.float32))
    assert found.dtype == np.float32
    assert stored.of(NONE, NONE).shape == (0,)


def test_each_teacher_has_its_own_score(table):
    assert StoredScores(table, 0, "u").of(hashes("q1"), hashes("d1"))[0] == 9
    assert np.isnan(StoredScores(table, 0, "v").of(hashes("q1"), hashes("d1"))[0])


def test_a_version_is_read_as_it_was(table):
    Table(table).commit(0, SCHEMA, [], {}, "k2")
    assert np.isnan(StoredScores(table, 1, "t").of(hashes("q1"), hashes("d1"))[0])
    assert StoredScores(table, 0, "t").of(hashes("q1"), hashes("d1"))[0] == 1.5


def test_known_ids_are_marked(table):
    ids = pair_ids(hashes("q1", "q3", "q2"), hashes("d1", "d1", "d1"), pa.array(["u", "t", "t"]))
    assert known(table, 0, ids).tolist() == [True, False, True]
    assert known(table, 0, ids.slice(0, 0)).tolist() == []
