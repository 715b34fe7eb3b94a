"""The losses that targets are made for: what they are of one list, and their laws."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.distil.lists import Lists
from operators.distil.losses import lambda_mrr, stabilised
from operators.distil.targets import TARGETS, Known

SCORES = st.lists(st.integers(-400, 400).map(lambda n: n / 100), min_size=1, max_size=7)
SIZED = SCORES.flatmap(lambda s: st.tuples(st.just(s), st.permutations(range(len(s)))))


def row(values) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def target(name: str, scores) -> torch.Tensor:
    flat = np.asarray(scores, np.float64)
    how = TARGETS[name]
    known = Known(flat, flat, how.temperature, how.weight)
    return torch.from_numpy(how.of(Lists(np.array([0, len(flat)])), known))[None]


@given(SCORES, st.lists(st.floats(-5, 5), max_size=4))
def test_the_stabilised_loss_of_a_one_hot_teacher_is_info_nce(scores, others) -> None:
    sure = torch.zeros(1, len(scores), dtype=torch.float64)
    sure[0, 0] = 1
    every = row([*scores, *others])
    wanted = torch.nn.functional.cross_entropy(every, torch.tensor([0]))
    found = stabilised(row(scores), sure, row(others) if others else None)
    assert float(found) == pytest.approx(float(wanted))


def test_the_stabilised_loss_equals_its_sum_by_hand() -> None:
    scores, weights = [0.3, 0.9, -0.4], [0.5, 0.3, 0.2]
    by_hand = sum(
        weight * (np.log(np.exp(scores[place:]).sum()) - scores[place])
        for place, weight in enumerate(weights)
    )
    assert float(stabilised(row(scores), row(weights))) == pytest.approx(by_hand)


def test_the_stabilised_loss_is_nothing_once_the_student_ranks_alike_by_far() -> None:
    weights = target("llm-embedder", [2, 1, 0])
    assert float(stabilised(row([400, 200, 0]), weights)) == pytest.approx(0)
    assert float(stabilised(row([0, 200, 400]), weights)) > 100


def test_the_ranking_loss_equals_its_sum_by_hand() -> None:
    scores, ranks = [0.5, 2.0, 1.0], [3, 1, 2]  # of the student, at places 0, 1, 2
    wanted, pairs = 0.0, [(0, 1), (0, 2), (2, 1)]  # the teacher's order is 0, 2, 1
    for better, worse in pairs:
        weight = abs(1 / ranks[better] - 1 / ranks[worse])
        wanted += weight * np.log1p(np.exp(scores[worse] - scores[better])) / len(pairs)
    found = lambda_mrr(row(scores), target("udr", [9.0, -3.0, 1.0]))
    assert float(found) == pytest.approx(wanted)


@given(SIZED)
def test_the_ranking_loss_does_not_know_the_order_of_its_documents(sized) -> None:
    teacher, order = sized
    student = list(np.linspace(-1, 1, len(teacher)) ** 3)
    moved = [student[place] for place in order]
    found = lambda_mrr(row(moved), target("udr", [teacher[place] for place in order]))
    wanted = lambda_mrr(row(student), target("udr", teacher))
    assert float(found) == pytest.approx(float(wanted))


@given(st.floats(-4, 4), st.floats(0.01, 4))
def test_a_pair_in_the_teachers_order_costs_less_than_swapped(low, gap) -> None:
    order = target("udr", [1.0, 0.0])
    right, wrong = (lambda_mrr(row(s), order) for s in ([low + gap, low], [low, low + gap]))
    assert float(right) < float(wrong)


def test_equal_ranks_cost_nothing_and_single_documents_neither() -> None:
    assert float(lambda_mrr(row([3.0, -3.0]), target("udr", [0.5, 0.5]))) == 0
    assert float(lambda_mrr(row([3.0]), target("udr", [0.5]))) == 0


@pytest.mark.parametrize(
    ("loss", "name", "nothing"), [(stabilised, "llm-embedder", 0.0), (lambda_mrr, "udr", np.nan)]
)
def test_a_list_that_is_filled_up_costs_and_teaches_as_it_did(loss, name, nothing) -> None:
    student = torch.tensor([[0.4, 0.9, -0.2, 0.1]])
    targets = target(name, [2.0, 1.0, 0.5, 0.3]).float()
    plain, filled = student.clone().requires_grad_(), student.clone().requires_grad_()
    loss(plain, targets).backward()
    low = torch.full((1, 3), -1e4)
    cost = loss(torch.cat([filled, low], 1), torch.cat([targets, torch.full((1, 3), nothing)], 1))
    cost.backward()
    assert cost.item() == pytest.approx(float(loss(student, targets)))
    torch.testing.assert_close(filled.grad, plain.grad)


@pytest.mark.parametrize(("loss", "name"), [(stabilised, "llm-embedder"), (lambda_mrr, "udr")])
@given(st.integers(0, 99))
@settings(max_examples=10)
def test_a_step_against_the_gradient_costs_less(loss, name, seed) -> None:
    random = np.random.default_rng(seed)
    student = torch.from_numpy(random.normal(size=(1, 5))).requires_grad_()
    targets = target(name, np.sort(random.normal(size=5))[::-1].copy())
    before = loss(student, targets)
    before.backward()
    after = loss(student.detach() - 1e-4 * student.grad, targets)
    assert float(after) < before.item()
