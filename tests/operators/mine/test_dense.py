import gc
import itertools
import pickle
import weakref
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from operators import columns
from operators.arrays import to_column
from operators.errors import ContractError, TableError
from operators.mine import groups
from operators.mine.dense import DensePart, describe, open_part
from operators.mine.index import Part, Parts
from operators.mine.pool import DOCUMENTS, Asked
from operators.quantize.codes import decoded
from operators.quantize.quantize import Quantize
from operators.storage import uri as store
from operators.storage.parquet import write_shard
from operators.storage.table import Table

COLUMNS = ("embedding", "codes", "bits")


def grid(seed: int, rows: int, dim: int) -> np.ndarray:
    """Multiples of 1/4 between -1 and 1: exact sums, and many ties."""
    return np.random.default_rng(seed).integers(-4, 5, (rows, dim)).astype(np.float32) / 4


def normal(seed: int, rows: int, dim: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)


def vectors(matrix: np.ndarray) -> pa.Table:
    rows, dim = matrix.shape
    ids = pa.array([f"d{(row * 7919) % 100_003}" for row in range(rows)], pa.string())
    hashes = pa.array([bytes([row % 256] * 16) for row in range(rows)], pa.binary())
    places = [pa.array(["docs.parquet"] * rows, pa.string()), pa.array(range(rows), pa.int64())]
    schema = pa.schema(
        [
            columns.ID,
            columns.CONTENT_HASH,
            columns.SOURCE_FILE,
            columns.SOURCE_ROW,
            columns.embedding(dim),
        ]
    )
    return pa.table([ids, hashes, *places, to_column(matrix)], schema=schema)


def coded(table: pa.Table, column: str, *, keep: bool = False) -> pa.Table:
    if column == "embedding":
        return table
    scheme = {"codes": "int8", "bits": "binary"}[column]
    with Quantize(scheme=scheme, keep_embedding=keep).open() as quantize:
        return quantize(table)


def committed(uri: str, parts: Sequence[pa.Table]) -> str:
    shards = [write_shard(uri, "run", f"u{n:03d}", part, {}) for n, part in enumerate(parts)]
    Table(uri).commit(-1, parts[0].schema, shards, {}, "key")
    return uri


def cut(table: pa.Table, count: int) -> list[pa.Table]:
    bounds = np.linspace(0, len(table), count + 1).astype(int)
    return [table.slice(a, b - a) for a, b in itertools.pairwise(bounds)]


def asked(matrix: np.ndarray | None) -> Asked:
    count = 0 if matrix is None else len(matrix)
    return Asked(pa.array([f"q{n}" for n in range(count)]), pa.array([b""] * count), matrix)


def joined(parts: Sequence[Part], rescored: int = 0) -> Parts:
    return Parts(lambda method, *args: [getattr(part, method)(*args) for part in parts], rescored)


def opened(uri: str, of: int = 1, *, resident: bool = False, column: str = "") -> Parts:
    index = pickle.loads(pickle.dumps(describe(uri, column=column)))
    return joined([open_part(index, part, of, resident=resident) for part in range(of)])


def brute(queries: np.ndarray, table: pa.Table, column: str, k: int) -> list[list[str]]:
    """Ids by (-score, id), by sorting every score of the decoded vectors."""
    scores = queries.astype(np.float64) @ decoded(table, column).astype(np.float64).T
    ids = table["id"].to_pylist()
    return [
        [ids[i] for i in sorted(range(len(ids)), key=lambda i: (-row[i], ids[i]))[:k]]
        for row in scores
    ]


def ids_of(index: Parts, rows: np.ndarray) -> list[list[str]]:
    unique = np.unique(rows)
    names = dict(zip(unique, index.documents(unique)["id"].to_pylist(), strict=True))
    return [[names[row] for row in query] for query in rows]


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("column", COLUMNS)
def test_equals_a_full_sort_of_the_decoded_vectors(column, resident, tmp_path) -> None:
    table, queries = coded(vectors(normal(1, 900, 48)), column), normal(2, 20, 48)
    index = opened(committed(str(tmp_path), cut(table, 3)), 2, resident=resident)
    found = index.search(asked(queries), 30)
    assert ids_of(index, found.rows) == brute(queries, table, column, 30)
    exact = queries @ decoded(table, column).T
    assert np.allclose(found.scores, np.take_along_axis(exact, found.rows, 1), atol=1e-5)


@pytest.mark.parametrize("column", COLUMNS)
def test_spreading_over_parts_changes_no_bit(column, tmp_path) -> None:
    table, queries = coded(vectors(normal(3, 700, 40)), column), normal(4, 33, 40)
    uri = committed(str(tmp_path), cut(table, 7))
    one = opened(uri).search(asked(queries), 25)
    for of in (1, 3, 7, 9):
        for resident in (False, True):
            found = opened(uri, of, resident=resident).search(asked(queries), 25)
            assert np.array_equal(found.scores, one.scores)
            assert np.array_equal(found.rows, one.rows)


@pytest.mark.parametrize("k", [1, 10, 60])
def test_ties_come_by_id_however_the_table_is_cut_into_files(k, tmp_path) -> None:
    table, queries = vectors(grid(5, 800, 3)), grid(6, 12, 3)
    expected = brute(queries, table, "embedding", k)
    shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
    for number, parts in enumerate([cut(table, 1), cut(table, 3), cut(shuffled, 7)]):
        index = opened(committed(str(tmp_path / str(number)), parts), 2)
        assert ids_of(index, index.search(asked(queries), k).rows) == expected


def test_rows_that_are_all_alike_come_by_id(tmp_path) -> None:
    table = vectors(np.ones((500, 4), np.float32))
    index = opened(committed(str(tmp_path), cut(table, 3)), 3)
    found = index.search(asked(np.ones((2, 4), np.float32)), 5)
    assert ids_of(index, found.rows) == [sorted(table["id"].to_pylist())[:5]] * 2


@pytest.mark.parametrize("of", [1, 3])
def test_bits_propose_and_a_finer_column_ranks(of, tmp_path) -> None:
    table = coded(vectors(normal(7, 600, 64)), "bits", keep=True)
    queries = normal(8, 15, 64)
    index = describe(committed(str(tmp_path), cut(table, 3)), column="bits", finer="embedding")
    parts = joined([open_part(index, part, of) for part in range(of)], rescored=50)
    found = parts.search(asked(queries), 10)
    candidates = brute(queries, table, "bits", 50)
    exact = brute(queries, table, "embedding", 600)
    expected = [
        [one for one in best if one in set(few)][:10]
        for best, few in zip(exact, candidates, strict=True)
    ]
    assert ids_of(parts, found.rows) == expected


def test_scores_of_pairs_are_those_of_the_search_to_the_bit(tmp_path) -> None:
    queries = normal(10, 9, 32)
    uri = committed(str(tmp_path), cut(coded(vectors(normal(9, 300, 32)), "codes"), 3))
    index = opened(uri, 2)
    found = index.search(asked(queries), 20)
    query = np.repeat(np.arange(9), 20)
    order = np.random.default_rng(0).permutation(180)
    scores = index.score(asked(queries), query[order], found.rows.ravel()[order])
    assert np.array_equal(scores, found.scores.ravel()[order])


@pytest.mark.parametrize("resident", [False, True])
def test_documents_and_ids_find_each_other(resident, tmp_path) -> None:
    table = vectors(grid(1, 50, 4))
    index = opened(committed(str(tmp_path), cut(table, 3)), 2, resident=resident)
    assert len(index) == 50
    rows = np.array([0, 7, 16, 17, 49])
    known = index.documents(rows)
    assert known.schema == DOCUMENTS
    assert known["parent_id"].null_count == 5
    assert known["source_row"].to_pylist() == [0, 7, 16, 17, 49]
    wanted = pa.array([*known["id"].to_pylist(), "nowhere", known["id"][0].as_py()])
    assert index.locate(wanted).tolist() == [*rows, -1, 0]


def test_k_beyond_the_rows_leaves_row_minus_one(tmp_path) -> None:
    index = opened(committed(str(tmp_path), cut(vectors(grid(1, 5, 4)), 2)), 3)
    found = index.search(asked(grid(2, 3, 4)), 9)
    assert found.rows.shape == (3, 9)
    assert (found.rows[:, 5:] == -1).all()
    assert np.isneginf(found.scores[:, 5:]).all()
    assert (np.sort(found.rows[:, :5], axis=1) == np.arange(5)).all()


def test_no_query_is_answered_by_no_hit(tmp_path) -> None:
    index = opened(committed(str(tmp_path), [vectors(grid(1, 5, 4))]))
    assert index.search(asked(grid(2, 0, 4)), 3).rows.shape == (0, 3)


def test_an_empty_table_is_refused(tmp_path) -> None:
    uri = committed(str(tmp_path), [vectors(grid(1, 0, 4))])
    with pytest.raises(TableError, match="version 0 has no row; there is nothing to search"):
        describe(uri)


def test_a_stored_vector_that_is_not_finite_is_refused(tmp_path) -> None:
    matrix = grid(1, 20, 4)
    matrix[13, 2] = np.nan
    index = opened(committed(str(tmp_path), [vectors(matrix)]))
    with pytest.raises(TableError, match="embedding: a stored vector is not finite"):
        index.search(asked(grid(2, 3, 4)), 3)


def test_queries_of_other_dimensions_are_refused(tmp_path) -> None:
    index = opened(committed(str(tmp_path), [vectors(grid(1, 5, 4))]))
    with pytest.raises(ContractError, match="vectors of 4 dimensions"):
        index.search(asked(grid(2, 3, 6)), 3)
    with pytest.raises(ContractError, match="no vectors of the queries"):
        index.search(asked(None), 3)


def test_a_column_that_is_not_there_is_refused(tmp_path) -> None:
    uri = committed(str(tmp_path), [vectors(grid(1, 5, 4))])
    with pytest.raises(ContractError, match="'bits'"):
        describe(uri, column="bits")


@pytest.mark.parametrize("count", [4, 12])
def test_a_streaming_part_holds_two_blocks_however_many_there_are(count, tmp_path, monkeypatch):
    uri = committed(str(tmp_path), cut(vectors(grid(1, 120, 4)), count))
    alive: list[weakref.ref] = []
    most = 0
    real = groups.vectors_of

    def counted(*args):
        nonlocal most
        block = real(*args)
        alive.append(weakref.ref(block))
        gc.collect()
        most = max(most, sum(each() is not None for each in alive))
        return block

    monkeypatch.setattr(groups, "vectors_of", counted)
    part = open_part(describe(uri))
    assert isinstance(part, DensePart)
    part.search(asked(grid(2, 3, 4)), 3)
    assert len(alive) >= count
    assert most <= 3  # in use, read ahead, and being read


def test_medians_of_a_table_are_fetched_from_its_folder(tmp_path) -> None:
    table, queries = vectors(normal(1, 200, 16) + 1), normal(2, 5, 16)
    data = Quantize(scheme="binary", center="median").fit(table)
    from operators.quantize.artefact import digest_of

    place = store.join(str(tmp_path), "_corpusmill", "artefacts", f"{digest_of(data)}.safetensors")
    store.write_bytes(place, data)
    with Quantize(scheme="binary", center="median", artefact=place).open() as quantize:
        bits = quantize(table)
    index = opened(committed(str(tmp_path), [bits]))
    found = index.search(asked(queries), 5)
    exact = queries @ decoded(bits, "bits", data).T
    assert np.allclose(found.scores, -np.sort(-exact, axis=1)[:, :5], atol=1e-5)
