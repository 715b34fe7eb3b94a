"""Ray's own lines kept off standard error: its core writes there past Python's logging."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_LEVEL = "RAY_BACKEND_LOG_LEVEL"


@contextmanager
def quiet_start(*, logs: bool) -> Iterator[None]:
    """While Ray starts, hide its core's lines, and for good those below a fatal one.

    The core warns, for one, of every actor pool that Ray Data makes (a line that no user can act
    on), and says on standard error that it heeds the level. With `logs` nothing is changed.
    """
    if logs or os.environ.get(_LEVEL):
        yield
        return
    os.environ[_LEVEL] = "fatal"
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
        del os.environ[_LEVEL]
