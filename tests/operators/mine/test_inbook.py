"""In-book candidates: the passages of the positives' parents but the positives, nearest first."""

import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import columns
from operators.arrays import to_column
from operators.mine.dense import describe, open_part
from operators.mine.inbook import siblings
from operators.mine.index import Parts
from operators.mine.pool import Asked
from operators.mine.unit import Judged
from operators.storage.parquet import write_shard
from operators.storage.table import Table

ROWS, DIM, QUERIES = 40, 3, 5
FIELDS = [columns.ID, columns.CONTENT_HASH, columns.PARENT_ID]
FIELDS += [columns.SOURCE_FILE, columns.SOURCE_ROW, columns.embedding(DIM)]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A vectors table of four files, its parents and its vectors; many scores are equal."""
    random = np.random.default_rng(3)
    matrix = random.integers(-2, 3, (ROWS, DIM)).astype(np.float32)
    parents = [None if n % 9 == 0 else f"p{n % 5}" for n in range(ROWS)]
    table = pa.table(
        [
            [f"d{(n * 17) % 101:03d}" for n in range(ROWS)],
            pa.array([bytes([n]) * 16 for n in range(ROWS)], pa.binary()),
            pa.array(parents, pa.string()),
            ["f"] * ROWS,
            range(ROWS),
            to_column(matrix),
        ],
        schema=pa.schema(FIELDS),
    )
    uri = str(tmp_path_factory.mktemp("inbook") / "vectors")
    shards = [write_shard(uri, "r", f"u{n}", table.slice(n * 10, 10), {}) for n in range(4)]
    Table(uri).commit(-1, table.schema, shards, {}, "key")
    kept = pa.concat_tables(Table(uri).read())
    return uri, kept["id"].to_pylist(), kept["parent_id"].to_pylist(), kept


def index(uri, of):
    parts = [open_part(describe(uri), part, of) for part in range(of)]
    return Parts(lambda method, *given: [getattr(part, method)(*given) for part in parts])


@given(seed=st.integers(0, 999), depth=st.integers(1, 12), of=st.integers(1, 4))
@settings(max_examples=15)
def test_they_are_what_the_definition_says_however_the_index_is_cut(world, seed, depth, of):
    uri, ids, parents, table = world
    random = np.random.default_rng(seed)
    matrix = random.integers(-2, 3, (QUERIES, DIM)).astype(np.float32)
    vectors = np.stack(table["embedding"].to_pylist()).astype(np.float32)
    query = np.sort(random.integers(0, QUERIES, 7))
    row = random.integers(-1, ROWS, 7)
    relevant = random.random(7) < 0.8
    judged = Judged(query, row, relevant.astype(np.float32), relevant)
    asked = Asked(pa.array([f"q{n}" for n in range(QUERIES)]), pa.nulls(QUERIES), matrix)
    found = siblings(index(uri, of), asked, judged, depth)
    for each in range(QUERIES):
        own = {
            int(r) for r, q, good in zip(row, query, relevant, strict=True) if q == each and good
        }
        books = {parents[r] for r in own - {-1}} - {None}
        wanted = [r for r in range(ROWS) if parents[r] in books and r not in own]
        wanted.sort(key=lambda r: (-float(matrix[each] @ vectors[r]), ids[r]))
        rows = [int(r) for r in found.documents[each] if r >= 0]
        assert rows == wanted[:depth]
        scores = found.scores[each][: len(rows)]
        assert scores.tolist() == [float(matrix[each] @ vectors[r]) for r in rows]


def test_one_large_parent_takes_no_memory_for_every_query_of_the_unit(tmp_path):
    children, queries = 4000, 1000
    matrix = np.random.default_rng(0).random((children, DIM), np.float32)
    table = pa.table(
        [
            [f"d{n}" for n in range(children)],
            pa.array([b""] * children, pa.binary()),
            ["book"] * children,
            ["f"] * children,
            range(children),
            to_column(matrix),
        ],
        schema=pa.schema(FIELDS),
    )
    uri = str(tmp_path / "vectors")
    Table(uri).commit(-1, table.schema, [write_shard(uri, "r", "u0", table, {})], {}, "key")
    parts, one = index(uri, 1), np.ones(1)
    judged = Judged(np.zeros(1, np.int64), np.zeros(1, np.int64), one, one > 0)
    vectors = np.zeros((queries, DIM), np.float32)
    vectors[0] = 1
    asked = Asked(pa.array([f"q{n}" for n in range(queries)]), pa.nulls(queries), vectors)
    tracemalloc.start()
    found = siblings(parts, asked, judged, 7)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    nearest = 1 + np.argsort(-matrix[1:].sum(axis=1))[:7]
    assert found.documents[0].tolist() == nearest.tolist()
    assert (found.documents[1:] == -1).all()
    assert most < 16e6  # the queries times the children take 48 MB
