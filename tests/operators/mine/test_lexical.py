"""Sparse vectors as an index: exact whatever the parts, alone and on top of dense vectors."""

import pickle
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import columns
from operators.arrays import ragged_column, to_column
from operators.errors import ContractError, TableError
from operators.mine.index import Parts
from operators.mine.lexical import lexical_index, open_part
from operators.mine.pool import Asked
from operators.mine.postings import Postings
from operators.mine.runs import Runs, bounds_of
from operators.storage.parquet import write_shard
from operators.storage.table import Table

WORDS, DIM = 12, 5


def sparse(seed, rows):
    """Multiples of 1/4, some below zero: exact sums, many ties, and empty rows."""
    random = np.random.default_rng(seed)
    matrix = random.integers(-2, 6, (rows, WORDS)).astype(np.float32) / 4
    return matrix * (random.random((rows, WORDS)) < 0.3)


def runs(matrix):
    rows, ids = np.nonzero(matrix)
    lengths = np.bincount(rows, minlength=len(matrix))
    return Runs((ids.astype(np.int32), matrix[rows, ids]), bounds_of(lengths))


def table(matrix, dense):
    rows = len(matrix)
    found = runs(matrix)
    lists = [ragged_column(each, found.bounds.astype(np.int32)) for each in found.arrays]
    made = [
        pa.array([f"d{(row * 7919) % 100_003}" for row in range(rows)]),
        pa.array([b"h"] * rows),
        pa.array(["docs"] * rows),
        pa.array(range(rows), pa.int64()),
        to_column(dense),
        *lists,
    ]
    head = [columns.ID, columns.CONTENT_HASH, columns.SOURCE_FILE, columns.SOURCE_ROW]
    schema = pa.schema([*head, columns.embedding(DIM), *columns.lexical(WORDS)])
    return pa.table(made, schema=schema)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A table of three files, its two matrices, and its ids."""
    matrix = sparse(1, 90)
    dense = np.random.default_rng(2).integers(-4, 5, (90, DIM)).astype(np.float32) / 4
    uri = str(tmp_path_factory.mktemp("t") / "t")
    whole = table(matrix, dense)
    shards = [write_shard(uri, "run", f"u{n}", whole.slice(n * 30, 30), {}) for n in range(3)]
    Table(uri).commit(-1, whole.schema, shards, {}, "key")
    return uri, matrix, dense, whole["id"].to_pylist()


def opened(uri, weight, of):
    index = pickle.loads(pickle.dumps(lexical_index(uri, 0, weight)))
    parts = [open_part(index, part, of) for part in range(of)]
    return Parts(lambda method, *args: [getattr(part, method)(*args) for part in parts])


def asked(matrix, dense=None):
    count = len(matrix)
    ids, hashes = pa.array(["q"] * count), pa.array([b""] * count)
    return Asked(ids, hashes, dense, terms=runs(matrix))


@given(
    seed=st.integers(0, 99),
    k=st.integers(1, 95),
    of=st.integers(1, 3),
    weight=st.sampled_from([0.0, 1.0, 0.5]),
)
@settings(max_examples=25)
def test_the_best_by_the_sum_of_both_products_ties_by_id(world, seed, k, of, weight):
    uri, matrix, vectors, ids = world
    queries = sparse(100 + seed, 4)
    dense = np.random.default_rng(seed).integers(-4, 5, (4, DIM)).astype(np.float32) / 4
    found = opened(uri, weight, of).search(asked(queries, dense), k)
    scores = queries @ matrix.T + weight * (dense @ vectors.T)
    for row, hits, values in zip(scores, found.rows, found.scores, strict=True):
        order = sorted(range(len(ids)), key=lambda n: (-row[n], ids[n]))
        best = [n for n in order if weight or row[n] > 0][:k]
        assert hits[: len(best)].tolist() == best
        assert values[: len(best)].tolist() == row[best].tolist()
        assert (hits[len(best) :] == -1).all()


def test_pairs_are_scored_alike_wherever_their_rows_lie(world):
    uri, matrix, vectors, ids = world
    queries, dense = sparse(7, 3), vectors[:3]
    query = np.repeat(np.arange(3), 30)
    rows = np.random.default_rng(3).permutation(90)
    index = opened(uri, 1.0, 3)
    found = index.score(asked(queries, dense), query, rows)
    expected = (queries[query] * matrix[rows]).sum(1) + (dense[query] * vectors[rows]).sum(1)
    assert found.tolist() == expected.tolist()
    assert index.locate(pa.array([ids[50], "nowhere"])).tolist() == [50, -1]
    assert index.documents(np.array([4, 40, 80]))["id"].to_pylist() == [ids[n] for n in (4, 40, 80)]


def test_queries_without_what_is_compared_are_refused_in_words(world):
    uri, _, vectors, _ = world
    bare = Asked(pa.array(["q"]), pa.array([b""]), vectors[:1])
    with pytest.raises(ContractError, match=r"lexical_ids.*none of the queries"):
        opened(uri, 0.0, 1).search(bare, 3)
    with pytest.raises(ContractError, match=r"embedding.*none of the queries"):
        opened(uri, 1.0, 1).search(asked(sparse(1, 1)), 3)


def test_what_is_held_while_words_are_inverted_is_little_more_than_what_stays():
    rows, long = 4_000, 50
    random = np.random.default_rng(0)
    some = [
        (
            random.integers(0, 1000, rows * long, dtype=np.int32),
            random.random(rows * long, np.float32),
            np.full(rows, long, np.int64),
        )
        for _ in range(10)
    ]
    tracemalloc.start()
    made = Postings.of(some, 1000)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2 * (made.document.nbytes + made.weight.nbytes)


def test_an_empty_table_cannot_be_searched(world, tmp_path):
    uri, *_ = world
    empty = str(tmp_path / "empty")
    Table(empty).commit(-1, Table(uri).schema(0), [], {}, "key")
    with pytest.raises(TableError, match="nothing to search"):
        lexical_index(empty, 0)


def test_words_that_the_documents_vocabulary_lacks_score_nothing(world):
    uri, *_ = world
    beyond = Runs(
        (np.array([WORDS + 3], np.int32), np.ones(1, np.float32)), bounds_of(np.array([1]))
    )
    found = opened(uri, 0.0, 1).search(Asked(pa.array(["q"]), pa.array([b""]), terms=beyond), 3)
    assert found.rows.tolist() == [[-1, -1, -1]]
