import numpy as np
import pyarrow as pa
import pytest

from operators import columns
from operators.arrays import to_column
from operators.errors import TableError
from operators.mine.ann import open_part, recalls
from operators.mine.choice import Ann
from operators.mine.dense import describe
from operators.mine.dense import open_part as open_exact
from operators.mine.index import Part, Parts
from operators.mine.pool import Asked
from operators.mine.topk import Hits
from operators.storage.parquet import write_shard
from operators.storage.table import Table

KINDS = (Ann(kind="hnsw"), Ann(kind="ivf"))


def near_centers(seed: int, rows: int, dim: int = 64) -> np.ndarray:
    """Unit vectors around a hundred centers, as embeddings of texts on as many topics are."""
    random = np.random.default_rng(seed)
    centers = np.random.default_rng(0).standard_normal((100, dim))
    made = centers[random.integers(0, 100, rows)] + random.standard_normal((rows, dim))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def committed(uri: str, matrix: np.ndarray, files: int = 3) -> str:
    ids = pa.array([f"d{row}" for row in range(len(matrix))], pa.string())
    schema = pa.schema([columns.ID, columns.embedding(matrix.shape[1])])
    table = pa.table([ids, to_column(matrix)], schema=schema)
    bounds = np.linspace(0, len(table), files + 1).astype(int)
    shards = [
        write_shard(uri, "run", f"u{n}", table.slice(bounds[n], bounds[n + 1] - bounds[n]), {})
        for n in range(files)
    ]
    Table(uri).commit(-1, schema, shards, {}, "key")
    return uri


def asked(matrix: np.ndarray) -> Asked:
    return Asked(pa.array(["q"] * len(matrix)), pa.array([b""] * len(matrix)), matrix)


def joined(parts: list[Part]) -> Parts:
    return Parts(lambda method, *args: [getattr(part, method)(*args) for part in parts])


@pytest.mark.parametrize("choice", KINDS)
@pytest.mark.parametrize("of", [1, 3])
def test_finds_most_of_what_exact_search_finds(choice, of, tmp_path) -> None:
    index = describe(committed(str(tmp_path), near_centers(1, 6000)))
    queries = asked(near_centers(2, 40))
    exact = joined([open_exact(index)]).search(queries, 20)
    found = joined([open_part(index, choice, part, of) for part in range(of)]).search(queries, 20)
    assert recalls(found, exact).mean() >= choice.min_recall
    same = found.rows == exact.rows
    assert np.array_equal(found.scores[same], exact.scores[same])
    assert (np.diff(found.scores, axis=1) <= 0).all()


@pytest.mark.parametrize(
    "choice", [Ann(rows=900, links=4, effort=20), Ann(kind="ivf", rows=1, effort=2)]
)
@pytest.mark.parametrize("files", [1, 7])
def test_how_many_parts_hold_the_indexes_changes_no_hit(choice, files, tmp_path) -> None:
    index = describe(committed(str(tmp_path), near_centers(1, 4000), files))
    queries = asked(near_centers(2, 30))
    cuts = [[open_part(index, choice, part, of) for part in range(of)] for of in (1, 2, 3, 9)]
    one, *others = (joined(parts).search(queries, 20) for parts in cuts)
    for other in others:
        assert np.array_equal(other.rows, one.rows)
        assert np.array_equal(other.scores, one.scores)
    assert [sum(part.size() for part in parts) for parts in cuts] == [4000] * 4


def test_looking_at_one_cell_finds_less(tmp_path) -> None:
    index = describe(committed(str(tmp_path), near_centers(1, 3000)))
    queries = asked(near_centers(2, 40))
    exact = joined([open_exact(index)]).search(queries, 50)
    little = joined([open_part(index, Ann(kind="ivf", effort=1))]).search(queries, 50)
    assert recalls(little, exact).mean() < 0.9


@pytest.mark.parametrize("choice", KINDS)
def test_is_built_the_same_each_time(choice, tmp_path) -> None:
    index = describe(committed(str(tmp_path), near_centers(1, 2000)))
    queries = asked(near_centers(2, 30))
    one, two = (open_part(index, choice).search(queries, 10) for _ in range(2))
    assert np.array_equal(one.rows, two.rows)
    assert np.array_equal(one.scores, two.scores)


@pytest.mark.parametrize("choice", KINDS)
def test_k_beyond_the_rows_leaves_row_minus_one(choice, tmp_path) -> None:
    index = describe(committed(str(tmp_path), near_centers(1, 3), files=1))
    parts = joined([open_part(index, choice, part, 2) for part in range(2)])
    found = parts.search(asked(near_centers(2, 4)), 8)
    assert (found.rows[:, 3:] == -1).all()
    assert np.isneginf(found.scores[:, 3:]).all()
    assert len(parts) == 3


def test_a_vector_that_is_not_finite_is_refused(tmp_path) -> None:
    matrix = near_centers(1, 10)
    matrix[3, 0] = np.inf
    index = describe(committed(str(tmp_path), matrix))
    with pytest.raises(TableError, match="embedding: a stored vector is not finite"):
        open_part(index, Ann())


def test_recall_is_the_share_of_a_query_s_exact_hits() -> None:
    exact = Hits(np.zeros((3, 2), np.float32), np.array([[1, 2], [3, -1], [-1, -1]]))
    found = Hits(np.zeros((3, 2), np.float32), np.array([[2, 9], [3, 4], [5, 6]]))
    assert recalls(found, exact).tolist() == [0.5, 1, 1]
