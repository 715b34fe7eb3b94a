"""Publishing against the gate: who does it, and what they are told."""

import getpass
import os
import socket

from cluster.execute import Result
from operators.storage.table import Table


def whoever() -> str:
    """The user and host of this process, as a commit names who forced it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user that no file names
        user = f"user {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def overridden(result: Result) -> str:
    """A warning where a version was published in spite of its gate; empty where it had leave."""
    if result.counts is None:
        return ""
    forced = (Table(result.table).lineage(result.version) or {}).get("forced")
    if not forced:
        return ""
    return (
        f"version {result.version} of {result.table} was published although its gate "
        f"refused it ({'; '.join(forced['reasons'])}); {forced['by']} forced it: "
        f"{forced['because']}"
    )
