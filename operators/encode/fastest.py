"""Which backend encodes a sample fastest, here and now."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec

import pyarrow as pa

from operators.base import Operator, Resources
from operators.encode import device
from operators.encode.graph import RUNTIMES
from operators.errors import ModelError

_REPEATS = 3
_CLEARLY = 1.1
"""Times torch's speed: below that torch stays, which computes any strategy on any device."""


def fastest(
    engines: Sequence[str],
    decided: Callable[[str], Operator],
    sample: pa.Table,
    on: Resources,
) -> str:
    """The engine whose best of three passes is the shortest; one that refuses is passed over.

    Torch where the workers have GPUs, or a device other than a CPU computes here. ModelError when
    none of them can.
    """
    if "torch" in engines and (len(sample) == 0 or on.gpus or device.pick(on.device).type != "cpu"):
        return "torch"
    took: dict[str, float] = {}
    refused: ModelError | None = None
    for engine in engines:
        if engine in RUNTIMES and find_spec(RUNTIMES[engine].package) is None:
            continue
        try:
            took[engine] = _best(decided(engine), sample, on)
        except ModelError as error:
            refused = error
    if not took:
        raise refused or ModelError("auto", f"none of {', '.join(engines)} is installed")
    best = min(took, key=lambda engine: took[engine])
    return "torch" if "torch" in took and took["torch"] < took[best] * _CLEARLY else best


def _best(step: Operator, sample: pa.Table, on: Resources) -> float:
    with step.open(on) as encode:
        return best(partial(encode, sample))


def best(once: Callable[[], object]) -> float:
    """Seconds of the shortest of three calls, after one that is not timed."""
    once()  # shapes are compiled, memory is faulted in
    found = []
    for _ in range(_REPEATS):
        clock = time.perf_counter()
        once()
        found.append(time.perf_counter() - clock)
    return min(found)
