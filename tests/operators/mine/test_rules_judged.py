import pyarrow as pa

from operators.mine.rules_judged import DuplicateText, Judged, NoScore, Positives, Siblings
from operators.text.hashes import content_hashes
from tests.mined import dropped, pairs, simple, table_of

NAN = float("nan")


def test_a_positive_of_one_query_may_be_a_negative_of_another() -> None:
    case = simple([[0.9, 0.8], [0.7, 0.6]], pairs((0, 0, 0.9), (1, 1, 0.6)))
    assert dropped(case, Positives()) == [{"d0"}, {"d1"}]


def test_another_row_with_the_id_of_a_positive_goes_too() -> None:
    twice = pa.array(["d0", "d0", "d2"])
    documents = table_of(["a text", "the text, edited", "other"]).set_column(0, "id", twice)
    case = simple([[0.9, 0.8, 0.7]], pairs((0, 0, 0.9)), documents=documents)
    assert Positives().drops(case).tolist() == [True, True, False]


def test_what_has_no_finite_score_goes() -> None:
    case = simple([[0.9, NAN, -float("inf"), float("inf"), 0.0]], pairs())
    assert dropped(case, NoScore()) == [{"d1", "d2", "d3"}]


def test_only_the_neutral_grades_keep_a_judged_document_from_being_a_negative() -> None:
    judged = pairs((0, 0, 0), (0, 1, -1), (0, 2, 0.5))
    scores = [[0.9, 0.8, 0.7, 0.6]]
    assert dropped(simple(scores, pairs(), judged=judged), Judged()) == [set()]
    case = simple(scores, pairs(), judged=judged, neutral=(-1.0, 0.5))
    assert dropped(case, Judged()) == [{"d1", "d2"}]
    case = simple(scores, pairs(), judged=judged, neutral=(0.0,))
    assert dropped(case, Judged()) == [{"d0"}]


def test_a_copy_of_a_positive_goes_and_a_copy_of_another_negative_stays() -> None:
    texts = ["same", "same", "other", "other"]
    case = simple([[0.9, 0.8, 0.7, 0.6]] * 2, pairs((0, 0, 0.9), (1, 2, 0.7)), texts)
    assert dropped(case, DuplicateText()) == [{"d0", "d1"}, {"d2", "d3"}]


def test_a_document_that_is_the_query_itself_goes() -> None:
    case = simple([[0.9, 0.8]] * 2, pairs(), ["query 0", "query 1"])
    assert dropped(case, DuplicateText()) == [{"d0"}, {"d1"}]


def test_documents_without_a_hash_are_nobodys_copy() -> None:
    hashes = pa.concat_arrays([pa.nulls(2, pa.binary()), content_hashes(pa.array(["c"]))])
    documents = table_of(["a", "b", "c"]).set_column(1, "content_hash", hashes)
    case = simple([[0.9, 0.8, 0.7]], pairs((0, 0, 0.9)), documents=documents)
    assert dropped(case, DuplicateText()) == [set()]


def test_passages_of_a_positives_parent_go_and_those_without_parent_stay() -> None:
    documents = table_of("abcdef", ["p", "p", "r", None, None, "p"])
    scores = [[0.9, 0.8, 0.7, 0.6, 0.5, 0.4]] * 2
    case = simple(scores, pairs((0, 0, 0.9), (1, 3, 0.6)), documents=documents)
    assert dropped(case, Siblings()) == [{"d0", "d1", "d5"}, set()]
