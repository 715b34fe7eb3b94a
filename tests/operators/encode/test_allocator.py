"""Freed memory stays for the next forward pass, unless the user said otherwise."""

import os
import subprocess
import sys

import pytest

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="malloc is glibc's")
SCRIPT = """
import resource, sys
from operators.encode import allocator
if sys.argv[1] == "kept":
    allocator.keep()
import torch
torch.set_num_threads(2)
layer = torch.nn.TransformerEncoderLayer(384, 12, 1536, activation="gelu", batch_first=True)
layer = layer.to(torch.bfloat16).train()
shapes = [(16, 256), (20, 200), (27, 150), (40, 100), (80, 50)]
def passes():
    for rows, tokens in shapes:
        layer(torch.ones(rows, tokens, 384, dtype=torch.bfloat16))
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
with torch.no_grad():
    passes()
    before = faults()
    passes()
    passes()
print(faults() - before)
"""


def faults(how: str, **environment: str) -> int:
    """Page faults of ten passes through a layer, in a process of its own."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_", "THP_"))}
    command = [sys.executable, "-c", SCRIPT, how]
    done = subprocess.run(
        command, env={**clean, **environment}, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@on_linux
def test_kept_memory_is_not_faulted_in_again() -> None:
    fresh, kept = faults("fresh"), faults("kept")
    assert fresh > 50_000
    assert kept < fresh / 20


@on_linux
def test_what_the_environment_says_of_malloc_stays() -> None:
    said = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20), "THP_MEM_ALLOC_ENABLE": "0"}
    assert faults("kept", **said) > 50_000
