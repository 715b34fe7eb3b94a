"""Which rows `compress` measures on, and what drawing them takes."""

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from operators import columns
from operators.arrays import to_column
from operators.mine.dense import DenseIndex, describe
from operators.mine.draws import keys
from operators.storage.parquet import write_shard
from operators.storage.table import Table
from pipelines.compress.sample import drawn

ROWS = 1000
"""In a row group."""
WANTED = ["d0003", "d2999", "absent"]


def committed(folder: Path, groups: int) -> DenseIndex:
    """A table whose row n has the id n, some ids being there twice, and the vector (n, 1)."""
    schema = pa.schema([columns.ID, columns.embedding(2)])
    shards = []
    for group in range(groups):
        numbers = np.arange(group * ROWS, (group + 1) * ROWS)
        same = np.where(numbers % 9 == 0, numbers // 2 * 2, numbers)
        ids = pa.array([f"d{number:04d}" for number in same])
        matrix = np.column_stack([numbers, np.ones(ROWS)]).astype(np.float32)
        rows = pa.table([ids, to_column(matrix)], schema=schema)
        shards.append(write_shard(str(folder), "run", f"u{group:03d}", rows, {}))
    Table(str(folder)).commit(-1, schema, shards, {}, "key")
    return describe(str(folder))


@pytest.mark.parametrize("most", [1, 50, 700, 2999, 9999])
def test_the_sample_is_that_of_all_rows_sorted_at_once(tmp_path, most) -> None:
    index = committed(tmp_path, 3)
    ids = pa.concat_arrays([part["id"].combine_chunks() for part in Table(index.uri).read(["id"])])
    rank = keys(ids, 7, "sample")
    rows = np.lexsort((rank, ~np.isin(ids.to_pylist(), WANTED)))[:most]
    rows = rows[np.argsort(rank[rows], kind="stable")]
    found = drawn(index, most, WANTED, 7)
    assert found.matrix[:, 0].tolist() == rows.tolist()
    assert found.ids.equals(ids.take(pa.array(rows)))
    assert found.of == 3 * ROWS


def test_drawing_holds_the_sample_and_not_every_id_of_the_table(tmp_path) -> None:
    peaks = []
    for groups in (4, 40):
        index = committed(tmp_path / str(groups), groups)
        drawn(index, 100)  # what is imported at the first call stays
        tracemalloc.start()
        drawn(index, 100)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]
