"""What tasks and actors on Ray answer; an error of ours reaches the driver as it was raised."""

from typing import Any

import ray
from ray.exceptions import RayTaskError

from operators.errors import CorpusmillError


def answer(running: Any, timeout: float | None = None) -> Any:
    """What a task, or each of a list of them, answers; a CorpusmillError is raised as itself.

    Ray raises its own class, whose sentence is the worker's traceback.
    """
    try:
        return ray.get(running, timeout=timeout)
    except RayTaskError as error:
        if isinstance(error.cause, CorpusmillError):
            raise error.cause from None
        raise
