import numpy as np
import pyarrow as pa
import pytest

from operators.mine.quality import Judgments, judgments, ndcg, overlap, recall

GRADED = Judgments(
    queries=np.array([0, 0, 0, 1]), rows=np.array([4, 7, 9, 2]), grades=np.array([3.0, 2, 1, 1])
)
RANKING = np.array([[7, 1, 4, 0], [5, 6, 8, -1]])


def test_ndcg_is_the_value_worked_out_by_hand() -> None:
    found = 2 / 1 + 3 / 2  # grade 2 at place 1, grade 3 at place 3: log2(2) = 1, log2(4) = 2
    ideal = 3 / 1 + 2 / np.log2(3) + 1 / 2
    assert ndcg(RANKING, GRADED, 4) == pytest.approx([found / ideal, 0.0])


def test_ndcg_looks_at_the_first_k_only() -> None:
    assert ndcg(RANKING, GRADED, 1) == pytest.approx([2 / 3, 0.0])
    assert ndcg(RANKING, GRADED, 2)[0] == pytest.approx(2 / (3 + 2 / np.log2(3)))


def test_the_best_order_has_ndcg_one() -> None:
    assert ndcg(np.array([[4, 7, 9], [2, -1, -1]]), GRADED, 10) == pytest.approx([1, 1])


def test_recall_is_the_share_of_relevant_rows_found() -> None:
    assert recall(RANKING, GRADED, 1) == pytest.approx([1 / 3, 0])
    assert recall(RANKING, GRADED, 4) == pytest.approx([2 / 3, 0])


def test_a_query_without_a_relevant_row_has_no_score() -> None:
    judged = Judgments(np.array([0]), np.array([4]), np.array([0.0]))
    assert np.isnan(ndcg(RANKING, judged, 3)).all()
    assert np.isnan(recall(RANKING, judged, 3)).all()


def test_overlap_counts_shared_rows_in_any_order_and_no_padding() -> None:
    reference = np.array([[4, 7, 0, 3], [9, 5, -1, -1]])
    assert overlap(RANKING, reference, 4) == pytest.approx([3 / 4, 1 / 2])
    assert overlap(RANKING, reference, 1) == pytest.approx([0, 0])
    assert overlap(reference, reference, 4) == pytest.approx([1, 1])


def test_judgments_are_placed_by_id_and_missing_documents_still_count() -> None:
    qrels = pa.table(
        {
            "query_id": ["q2", "q1", "q9", "q1"],
            "doc_id": ["c", "a", "a", "gone"],
            "relevance": [1, 2, 1, 2],
        }
    )
    judged = judgments(qrels, pa.array(["q1", "q2"]), pa.array(["a", "b", "c"]))
    assert np.array_equal(judged.queries, [1, 0, 0])
    assert np.array_equal(judged.rows, [2, 0, -2])
    ranking = np.array([[0, 1], [2, 0]])
    assert recall(ranking, judged, 2) == pytest.approx([1 / 2, 1])
    assert ndcg(ranking, judged, 2)[0] == pytest.approx(2 / (2 + 2 / np.log2(3)))


def test_padding_is_never_a_judged_document() -> None:
    judged = Judgments(np.array([0, 0]), np.array([-2, 1]), np.array([1.0, 1.0]))
    assert recall(np.array([[-1, -1]]), judged, 2) == pytest.approx([0])
