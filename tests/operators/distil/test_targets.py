import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.distil.lists import Lists
from operators.distil.targets import DISTRIBUTIONS, TARGETS, Known, sigmoid, softmax

SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=5)


def cut(*sizes: int) -> Lists:
    return Lists(np.cumsum([0, *sizes]))


def known(scores, cosines=None, temperature=1.0, weight=1.0) -> Known:
    scores = np.asarray(scores, np.float64)
    cosines = scores if cosines is None else np.asarray(cosines, np.float64)
    return Known(scores, cosines, temperature, weight)


def of(name: str, lists: Lists, about: Known):
    return TARGETS[name].of(lists, about)


@pytest.mark.parametrize("name", sorted(DISTRIBUTIONS | {"judged"}))
@given(sizes=SIZES, seed=st.integers(0, 99), temperature=st.sampled_from([0.05, 1.0, 7.0]))
def test_distributions_sum_to_one_over_each_list(name, sizes, seed, temperature) -> None:
    lists = cut(*sizes)
    random = np.random.default_rng(seed)
    about = known(
        random.normal(0, 9, sum(sizes)), random.uniform(-1, 1, sum(sizes)), temperature, 0.4
    )
    values = of(name, lists, about)
    assert (values >= 0).all()
    assert np.allclose(lists.total(values), 1)


def test_the_softmax_is_of_each_list_alone_and_never_overflows() -> None:
    values = softmax(cut(2, 1, 2), np.array([1.0, 0.0, 5.0, 1e4, -1e4]), 2.0)
    assert values == pytest.approx([1 / (1 + np.exp(-0.5)), 1 / (1 + np.exp(0.5)), 1, 1, 0])


def test_without_weight_the_mixture_is_one_hot_and_with_all_of_it_the_softmax() -> None:
    lists, scores = cut(3, 2), [0.1, 2.0, -1.0, 3.0, 3.0]
    assert of("lg-anna", lists, known(scores, weight=0)).tolist() == [1, 0, 0, 1, 0]
    assert np.array_equal(
        of("lg-anna", lists, known(scores, temperature=0.5, weight=1)),
        softmax(lists, np.array(scores), 0.5),
    )
    half = of("lg-anna", lists, known(scores, weight=0.5))
    assert half[3:] == pytest.approx([0.75, 0.25])


def test_without_weight_the_fused_target_is_the_retrievers_own() -> None:
    lists, cosines = cut(3), np.array([0.9, 0.8, -0.2])
    alone = of("u-marvel", lists, known([5, -5, 9], cosines, 0.05, weight=0))
    assert alone == pytest.approx(softmax(lists, cosines, 0.1))
    both = of("u-marvel", lists, known([5, -5, 9], cosines, 0.05, weight=1))
    by_hand = np.exp((cosines + 1 / (1 + np.exp([-5.0, 5.0, -9.0]))) / 2 / 0.05)
    assert both == pytest.approx(by_hand / by_hand.sum())


def test_margins_are_of_the_positive_over_each_document() -> None:
    assert of("margin-mse", cut(3, 1), known([3, 1, 4, 7])).tolist() == [0, 2, -1, 0]


def test_labels_are_probabilities_of_single_pairs() -> None:
    values = of("labels", cut(2), known([0, 1000]))
    assert values.tolist() == [0.5, 1.0]
    assert sigmoid(np.array([-1000.0])).tolist() == [0.0]
    assert of("scores", cut(2), known([0, 1000])).tolist() == [0, 1000]


@given(sizes=SIZES, seed=st.integers(0, 99))
def test_ranks_are_the_reciprocals_of_the_order_that_any_rising_map_keeps(sizes, seed) -> None:
    lists, random = cut(*sizes), np.random.default_rng(seed)
    scores = random.integers(-3, 4, sum(sizes)).astype(np.float64)
    ranks = of("udr", lists, known(scores))
    for rising in (np.exp, np.arctan, lambda x: 7 * x - 3):
        assert np.array_equal(of("udr", lists, known(rising(scores))), ranks)
    for start, stop in zip(lists.offsets, lists.offsets[1:], strict=False):
        above = [(scores[start:stop] > score).sum() for score in scores[start:stop]]
        assert ranks[start:stop].tolist() == [1 / (1 + count) for count in above]


@pytest.mark.parametrize("name", sorted(TARGETS))
@given(sizes=SIZES, seed=st.integers(0, 99))
def test_a_list_has_the_same_targets_alone_and_whatever_the_order_of_its_negatives(
    name, sizes, seed
) -> None:
    random = np.random.default_rng(seed)
    scores, cosines = random.normal(size=(2, sum(sizes)))
    lists = cut(*sizes)
    whole = of(name, lists, known(scores, cosines, weight=0.4))
    for size, start in zip(sizes, lists.firsts, strict=True):
        order = start + np.concatenate([[0], 1 + random.permutation(size - 1)]).astype(np.int64)
        alone = of(name, cut(size), known(scores[order], cosines[order], weight=0.4))
        assert alone == pytest.approx(whole[order])


def test_margins_are_what_margin_mse_makes_of_the_scores() -> None:
    torch = pytest.importorskip("torch")
    from sentence_transformers.sentence_transformer.losses import MarginMSELoss

    loss = MarginMSELoss(torch.nn.Identity())
    query, *documents = torch.nn.functional.normalize(torch.randn(4, 2, 8), dim=2).unbind(0)
    scores = np.array([[3.0, 1.0, 4.0], [0.5, 0.25, -2.0]])
    lists = cut(3, 3)
    margins = of("margin-mse", lists, known(scores.reshape(-1))).reshape(2, 3)[:, 1:]
    by_scores = loss.compute_loss_from_embeddings([query, *documents], torch.tensor(scores))
    by_margins = loss.compute_loss_from_embeddings([query, *documents], torch.tensor(margins))
    assert torch.equal(by_scores, by_margins)
