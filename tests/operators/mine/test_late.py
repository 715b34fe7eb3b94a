"""Token vectors as an index: exact whatever the parts, ties by id."""

import pickle
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import columns
from operators.arrays import ragged_column
from operators.errors import ContractError
from operators.mine.index import Parts
from operators.mine.late import late_index, open_part
from operators.mine.pool import Asked
from operators.mine.runs import Runs, bounds_of
from operators.quantize.artefact import SUFFIX, digest_of
from operators.quantize.token_codes import QuantizeTokens
from operators.storage.parquet import write_shard
from operators.storage.table import Table

DIM, ROWS = 4, 60


def sets(seed, count, fewest=0):
    """Multiples of 1/4: exact sums, many ties, and rows without a vector."""
    random = np.random.default_rng(seed)
    lengths = random.integers(fewest, 4, count)
    matrix = random.integers(-2, 3, (int(lengths.sum()), DIM)).astype(np.float32) / 4
    return Runs((matrix,), bounds_of(lengths))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    documents = sets(1, ROWS)
    lists = ragged_column(
        documents.arrays[0].reshape(-1), (documents.bounds * DIM).astype(np.int32)
    )
    made = [
        pa.array([f"d{(row * 7919) % 100_003}" for row in range(ROWS)]),
        pa.array([b"h"] * ROWS),
        pa.array(["docs"] * ROWS),
        pa.array(range(ROWS), pa.int64()),
        lists,
    ]
    head = [columns.ID, columns.CONTENT_HASH, columns.SOURCE_FILE, columns.SOURCE_ROW]
    table = pa.table(made, schema=pa.schema([*head, columns.token_vectors(DIM)]))
    uri = str(tmp_path_factory.mktemp("t") / "t")
    shards = [write_shard(uri, "run", f"u{n}", table.slice(n * 20, 20), {}) for n in range(3)]
    Table(uri).commit(-1, table.schema, shards, {}, "key")
    return uri, documents, table["id"].to_pylist()


def opened(uri, of):
    index = pickle.loads(pickle.dumps(late_index(uri, 0)))
    parts = [open_part(index, part, of) for part in range(of)]
    return Parts(lambda method, *args: [getattr(part, method)(*args) for part in parts])


def asked(runs):
    return Asked(pa.array(["q"] * len(runs)), pa.array([b""] * len(runs)), tokens=runs)


def scores(queries, documents):
    found = np.full((len(queries), len(documents)), -np.inf)
    for q in range(len(queries)):
        for d in range(len(documents)):
            if len(documents[d][0]):
                found[q, d] = (queries[q][0] @ documents[d][0].T).max(axis=1).sum()
    return found


@given(seed=st.integers(0, 99), k=st.integers(1, ROWS + 5), of=st.integers(1, 3))
@settings(max_examples=20)
def test_the_best_by_maxsim_ties_by_id(world, seed, k, of):
    uri, documents, ids = world
    queries = sets(100 + seed, 3, fewest=1)
    found = opened(uri, of).search(asked(queries), k)
    for row, hits, values in zip(scores(queries, documents), found.rows, found.scores, strict=True):
        order = sorted(range(ROWS), key=lambda n: (-row[n], ids[n]))
        best = [n for n in order if np.isfinite(row[n])][:k]
        assert hits[: len(best)].tolist() == best
        assert values[: len(best)].tolist() == row[best].tolist()
        assert (hits[len(best) :] == -1).all()


def test_what_is_held_while_codes_are_opened_is_little_more_than_what_stays(tmp_path):
    random = np.random.default_rng(0)
    vectors = random.standard_normal((20_000, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    lists = ragged_column(vectors.reshape(-1), np.arange(0, vectors.size + 1, 640, dtype=np.int32))
    ids = pa.array([f"d{row}" for row in range(2000)])
    table = pa.table([ids, lists], schema=pa.schema([columns.ID, columns.token_vectors(64)]))
    data = QuantizeTokens().fit(table.slice(0, 50))
    uri = str(tmp_path / "t")
    place = tmp_path / "t" / "_corpusmill" / "artefacts" / (digest_of(data) + SUFFIX)
    place.parent.mkdir(parents=True)
    place.write_bytes(data)
    with QuantizeTokens(artefact=str(place)).open() as quantize:
        table = quantize(table)
    shards = [write_shard(uri, "run", f"u{n}", table.slice(n * 50, 50), {}) for n in range(40)]
    Table(uri).commit(-1, table.schema, shards, {}, "key")
    index = late_index(uri, 0)
    tracemalloc.start()
    part = open_part(index)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1.5 * part.tokens.arrays[0].nbytes == 1.5 * vectors.nbytes


def test_pairs_are_scored_alike_wherever_their_rows_lie(world):
    uri, documents, _ = world
    queries = sets(7, 3, fewest=1)
    query, rows = np.repeat(np.arange(3), ROWS), np.tile(np.arange(ROWS), 3)
    found = opened(uri, 3).score(asked(queries), query, rows)
    assert found.tolist() == scores(queries, documents)[query, rows].tolist()


def test_queries_without_token_vectors_or_with_others_are_refused(world):
    uri, *_ = world
    bare = Asked(pa.array(["q"]), pa.array([b""]))
    with pytest.raises(ContractError, match="none of the queries"):
        opened(uri, 1).search(bare, 3)
    other = Runs((np.ones((1, DIM + 1), np.float32),), bounds_of(np.array([1])))
    with pytest.raises(ContractError, match="token vectors of 4 values"):
        opened(uri, 1).search(asked(other), 3)
