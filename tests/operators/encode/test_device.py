"""Devices, threads and the default budget."""

import pytest
import torch

from operators.encode import device
from tests.cuda_devices import CUDA


def test_auto_is_a_device_that_works():
    assert torch.ones(1, device=device.pick("auto")).item() == 1
    assert device.pick("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:99", "no such thing"])
def test_a_device_that_is_not_there_is_named(name):
    with pytest.raises(ValueError, match=f"this machine has no device '{name}'"):
        device.pick(name)


def test_threads_are_set_and_given_back():
    before = torch.get_num_threads()
    with device.threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    with device.threads(0):
        assert torch.get_num_threads() == before


def test_a_budget_is_chosen_for_the_cpu():
    assert device.token_budget(torch.device("cpu"), 384) >= 512


@pytest.mark.parametrize("cuda", CUDA)
def test_a_wider_model_gets_fewer_tokens_of_a_gpu(cuda):
    assert device.token_budget(cuda, 8192) <= device.token_budget(cuda, 384)


@pytest.mark.parametrize("cuda", CUDA)
def test_what_is_there_has_no_room_for_tokens_and_what_is_gone_has(cuda):
    empty = device.token_budget(cuda, 2048)
    taken = torch.empty(torch.cuda.mem_get_info(cuda)[0] // 2, dtype=torch.uint8, device=cuda)
    assert device.token_budget(cuda, 2048) < empty
    del taken
    assert device.token_budget(cuda, 2048) == pytest.approx(empty, rel=0.05)
