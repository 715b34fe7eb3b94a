"""The head over stored vectors: what it computes, and what it learns of a planted teacher."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.teach.pair_head import Learning, features, fit, scores

DIM, HIDDEN = 5, 3
HOW = Learning(hidden=32, rate=1e-2, epochs=40, patience=5, seed=0, order="one")


def head(seed: int):
    random = np.random.default_rng(seed)
    return {
        "first.weight": random.normal(size=(HIDDEN, 4 * DIM)).astype(np.float32),
        "first.bias": random.normal(size=HIDDEN).astype(np.float32),
        "second.weight": random.normal(size=HIDDEN).astype(np.float32),
        "second.bias": random.normal(size=1).astype(np.float32),
    }


def vectors(seed: int, rows: int):
    return np.random.default_rng(seed).normal(size=(2, rows, DIM)).astype(np.float32)


@given(st.integers(0, 99))
def test_it_equals_the_sums_by_hand(seed) -> None:
    u, v = vectors(seed, 1)
    by = head(seed)
    x = [*u[0], *v[0], *(a * b for a, b in zip(u[0], v[0], strict=True)), *np.abs(u[0] - v[0])]
    total = float(by["second.bias"][0])
    for unit in range(HIDDEN):
        inner = float(by["first.bias"][unit])
        inner += sum(
            float(w) * float(each) for w, each in zip(by["first.weight"][unit], x, strict=True)
        )
        total += float(by["second.weight"][unit]) * max(inner, 0)
    assert scores(u, v, by)[0] == pytest.approx(total, abs=1e-4)


@given(st.integers(0, 99), st.integers(1, 9))
def test_a_pair_has_the_same_bits_alone_and_both_orders_know_no_first(seed, rows) -> None:
    u, v = vectors(seed, rows)
    for order in ("one", "both"):
        whole = scores(u, v, head(seed), order)
        alone = [scores(u[n : n + 1], v[n : n + 1], head(seed), order)[0] for n in range(rows)]
        assert whole.tolist() == alone
    assert scores(u, v, head(seed), "both") == pytest.approx(scores(v, u, head(seed), "both"))
    assert scores(u, v, head(seed)) != pytest.approx(scores(v, u, head(seed)))


def test_a_teacher_that_is_linear_in_the_features_is_learned() -> None:
    u, v = vectors(1, 1500)
    logits = (features(u, v) @ np.linspace(-1, 1, 4 * DIM) * 3 - 7).astype(np.float32)
    group = np.arange(1500) // 3
    learned = fit(u, v, logits, group, HOW)
    assert learned["held_out"][0] > 0.97
    fresh = vectors(2, 300)
    wanted = features(*fresh) @ np.linspace(-1, 1, 4 * DIM) * 3 - 7
    assert np.corrcoef(scores(*fresh, learned), wanted)[0, 1] > 0.98
    again = fit(u, v, logits, group, HOW)
    assert all(np.array_equal(again[name], each) for name, each in learned.items())


def test_a_fit_never_holds_the_features_of_all_pairs() -> None:
    u, v = np.random.default_rng(4).normal(size=(2, 10_000, 64)).astype(np.float32)
    group, how = np.arange(10_000), replace(HOW, epochs=1, order="both")
    fit(u[:20], v[:20], u[:20, 0], group[:20], how)  # what is imported first counts not
    tracemalloc.start()
    fit(u, v, u[:, 0], group, how)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < features(u, v).nbytes


def test_without_epochs_it_says_the_mean_of_the_teacher() -> None:
    u, v = vectors(3, 60)
    logits = np.linspace(-4, 9, 60).astype(np.float32)
    how = Learning(hidden=8, rate=1e-2, epochs=0, patience=5, seed=0, order="both")
    learned = fit(u, v, logits, np.arange(60), how)
    assert scores(u, v, learned, "both") == pytest.approx(np.full(60, logits.mean()))
    assert learned["held_out"][0] <= 0
