"""The CUDA devices that tests run on; the second is seldom the current one."""

import pytest
import torch

CUDA = [
    pytest.param(
        torch.device("cuda", number),
        id=f"cuda{number}",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(
                torch.cuda.device_count() <= number, reason=f"no CUDA device {number}"
            ),
        ],
    )
    for number in range(2)
]
