import numpy as np
import pytest

from operators.mine.rules_teacher import LgMine, Teacher
from tests.mined import dropped, pairs, simple

NAN = float("nan")


def taught(logits, *positives):
    """The nearest document stands first; the teacher may think otherwise."""
    matrix = np.array(logits, np.float32)
    scores = np.broadcast_to(-np.arange(matrix.shape[1], dtype=np.float32), matrix.shape)
    given = pairs(*((query, row, 0.0) for query, row in positives))
    return simple(scores, given, teacher=lambda queries, rows: matrix[queries, rows])


def test_what_the_teacher_scores_near_the_positive_goes_whatever_the_search_says() -> None:
    case = taught([[4.0, 3.9, 0.0, -4.0, 6.0]], (0, 0))
    assert dropped(case, LgMine()) == [{"d0", "d1", "d4"}]


def test_negative_logits_are_compared_as_shares_of_their_sigmoid() -> None:
    case = taught([[-2.0, -2.01, -2.2, -1.0]], (0, 0))  # sigmoids .119, .118, .100, .269
    assert dropped(case, LgMine(share=0.95)) == [{"d0", "d1", "d3"}]


def test_raw_scores_lose_a_share_of_their_magnitude() -> None:
    case = taught([[-2.0, -2.4, -2.6]], (0, 0))
    assert dropped(case, LgMine(share=0.75, scale="raw")) == [{"d0", "d1"}]
    case = taught([[2.0, 1.6, 1.4]], (0, 0))
    assert dropped(case, LgMine(share=0.75, scale="raw")) == [{"d0", "d1"}]


def test_an_unscored_pair_stays_or_goes_by_a_named_choice() -> None:
    case = taught([[4.0, NAN, 0.0], [NAN, 5.0, 0.0]], (0, 0), (1, 0))
    assert dropped(case, LgMine()) == [{"d0"}, set()]
    assert dropped(case, LgMine(unscored="drop")) == [{"d0", "d1"}, {"d0", "d1", "d2"}]
    assert dropped(case, Teacher(relevant=3)) == [{"d0"}, {"d1"}]
    assert dropped(case, Teacher(relevant=3, unscored="drop")) == [{"d0", "d1"}, {"d0", "d1"}]


def test_the_lowest_positive_by_the_teacher_counts() -> None:
    case = taught([[4.0, 0.0, 1.0, -1.0]], (0, 0), (0, 1))
    assert dropped(case, LgMine()) == [{"d0", "d1", "d2"}]


@pytest.mark.parametrize("rule", [LgMine(), Teacher(relevant=0)])
def test_without_a_teacher_the_rule_says_what_it_needs(rule) -> None:
    with pytest.raises(ValueError, match="needs a teacher's scores"):
        rule.drops(simple([[0.5]], pairs()))
