"""What tasks and actors on Ray answer; an error of ours reaches the driver as it was raised."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayTaskError

from operators.errors import CorpusmillError


def answer(running: Any, timeout: float | None = None) -> Any:
    """What a task, or each of a list of them, answers; a CorpusmillError is raised as itself."""
    with as_raised():
        return ray.get(running, timeout=timeout)


@contextmanager
def as_raised() -> Iterator[None]:
    """Raise a task's CorpusmillError as itself: the words of Ray's own are the worker's trace."""
    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, CorpusmillError):
            raise error.cause from None
        raise
