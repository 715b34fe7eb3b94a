import numpy as np
import pyarrow as pa

from operators.mine.ties import by_id, ranks
from operators.mine.topk import Hits

IDS = pa.array(["d", "b", "é", "c", "a"])


def known(rows: np.ndarray) -> pa.Table:
    return pa.table({"id": IDS.take(pa.array(rows, pa.int64()))})


def test_ranks_are_places_in_the_order_of_utf8_bytes() -> None:
    assert ranks(IDS).tolist() == [3, 1, 4, 2, 0]


def test_equal_scores_come_by_id_and_others_stay() -> None:
    scores = np.array([[3, 2, 2, 2], [4, 3, 2, 1]], np.float32)
    rows = np.array([[4, 0, 1, 3], [3, 2, 1, 0]])
    found = by_id(Hits(scores, rows), known, 3)
    assert found.rows.tolist() == [[4, 1, 3], [3, 2, 1]]
    assert found.scores.tolist() == [[3, 2, 2], [4, 3, 2]]


def test_places_without_a_row_stay_last() -> None:
    none = -np.inf
    scores = np.array([[1, 1, none, none]], np.float32)
    found = by_id(Hits(scores, np.array([[0, 1, -1, -1]])), known, 4)
    assert found.rows.tolist() == [[1, 0, -1, -1]]
