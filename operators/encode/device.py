"""Where a model runs: the device, its threads, and how many tokens it takes at once."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from operators.errors import DeviceError

_CPU_TOKENS = 4096
_CUDA_SHARE = 0.5
_CUDA_BYTES_A_VALUE = 256
"""Working memory a token and dimension of its state; a first guess that out-of-memory corrects."""
_CUDA_TOKENS = (4096, 262_144)


def pick(wanted: str) -> torch.device:
    """`auto` is the first of cuda, mps and cpu that is there; ValueError on one that is not."""
    name = wanted
    if wanted == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"this machine has no device {wanted!r}") from error
    return device


def check_there(device: torch.device, error: Exception) -> None:
    """DeviceError, made of an error that was met, where the device answers this process no more.

    After a fault in a kernel CUDA fails whatever the process asks of it later.
    """
    if device.type != "cuda":
        return
    try:
        torch.cuda.synchronize(device)
    except (RuntimeError, AssertionError):
        cause = str(error).strip().split("\n")[0]
        raise DeviceError(str(device), f"lost to this process ({cause})") from error


def token_budget(device: torch.device, width: int) -> int:
    """Padded tokens a forward pass where the config does not say, in the memory that is free."""
    if device.type != "cuda":
        return _CPU_TOKENS
    torch.cuda.empty_cache()  # what models that are gone had is still torch's
    free, _ = torch.cuda.mem_get_info(device)
    fewest, most = _CUDA_TOKENS
    return min(max(int(free * _CUDA_SHARE) // (width * _CUDA_BYTES_A_VALUE), fewest), most)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with `count` threads, and with as many as before afterwards; 0 leaves them."""
    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
