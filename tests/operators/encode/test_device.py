"""Devices, threads and the default budget."""

import pytest
import torch

from operators.encode import device


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


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_wider_model_gets_fewer_tokens_of_a_gpu():
    cuda = torch.device("cuda")
    assert device.token_budget(cuda, 8192) <= device.token_budget(cuda, 384)
