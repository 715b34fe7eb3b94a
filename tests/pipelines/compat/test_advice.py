"""One recommendation, and when it is which."""

import numpy as np
import pytest

from operators.adapt.compatibility import Quality, Violated
from pipelines.compat.advice import advise, difference
from pipelines.compat.candidates import Candidate, Learned

QUERIES = 200
NOISE = np.random.default_rng(0).normal(0, 0.02, QUERIES)


def of(mean: float, noise: float = 0.0) -> Quality:
    values = mean + noise * NOISE
    return Quality(values, values, values)


def mapped(mean: float, noise: float = 1.0) -> Candidate:
    gallery = np.zeros((0, 1), np.float32)
    maps = (Learned("linear", b""),)
    return Candidate("old documents", maps, of(mean, noise), Violated(0, 0), gallery)


@pytest.mark.parametrize(
    ("old", "new", "best", "verdict"),
    [
        (0.60, 0.60, 0.60, "keep"),
        (0.60, 0.50, 0.40, "keep"),
        (0.60, 0.605, 0.604, "keep"),
        (0.60, 0.70, 0.50, "re-embed"),
        (0.60, 0.70, 0.65, "re-embed"),
        (0.60, 0.70, 0.695, "map"),
        (0.60, 0.70, 0.75, "map"),
        (0.60, 0.58, 0.65, "map"),
        (0.60, 0.62, 0.604, "re-embed"),
    ],
)
def test_the_verdict_follows_the_criterion(old, new, best, verdict):
    advice = advise(of(old), of(new, 1.0), [mapped(0.1), mapped(best)], 0.01)
    assert advice.verdict == verdict
    assert advice.sentence.startswith(f"{verdict}: ")
    assert advice.best == "old documents linear"
    assert f"{advice.new_over_old.mean:+.4f}" in advice.sentence or verdict == "map"
    assert f"{advice.best_over_old.mean:+.4f}" in advice.sentence


def test_a_difference_is_clear_beyond_the_tolerance_and_two_standard_errors():
    assert difference(of(0.65, 1.0), of(0.60), 0.01).clear
    assert not difference(of(0.65, 1.0), of(0.60), 0.06).clear
    noisy = difference(of(0.65, 50.0), of(0.60), 0.01)
    assert noisy.mean > 0.01
    assert not noisy.clear
    assert noisy.error == pytest.approx(50 * NOISE.std(ddof=1) / np.sqrt(QUERIES))
    assert not difference(of(0.60), of(0.60), 0.0).clear, "equal is not better"


def test_queries_without_a_relevant_document_count_for_nothing():
    one, other = of(0.7, 1.0), of(0.6)
    holes = np.where(np.arange(QUERIES) < 50, np.nan, one.ndcg_10)
    found = difference(Quality(holes, holes, holes), other, 0.01)
    assert found.mean == pytest.approx((one.ndcg_10 - other.ndcg_10)[50:].mean())


def test_one_query_makes_nothing_clear():
    one, other = of(0.9), of(0.1)
    single = [
        Quality(each.ndcg_10[:1], each.ndcg_10[:1], each.ndcg_10[:1]) for each in (one, other)
    ]
    assert not difference(single[0], single[1], 0.01).clear
