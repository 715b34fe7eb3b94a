"""What a worker tells of its own work, for whoever follows a unit; no part of a result."""

import os
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

MODEL_TOKENS = "model tokens"
"""Tokens that went through a model."""
PADDED_TOKENS = "padded tokens"
"""The same with the padding of their batches."""

_OPEN: ContextVar[Counter[str] | None] = ContextVar("_OPEN", default=None)


@contextmanager
def measured() -> Iterator[Counter[str]]:
    """Collect what is measured inside, by name."""
    found: Counter[str] = Counter()
    token = _OPEN.set(found)
    try:
        yield found
    finally:
        _OPEN.reset(token)


def measure(name: str, amount: int) -> None:
    """Add to what is being collected, if anybody collects."""
    found = _OPEN.get()
    if found is not None:
        found[name] += amount


def whereabouts() -> str:
    """Node and process, as a log names a worker."""
    return f"{socket.gethostname()}/{os.getpid()}"
