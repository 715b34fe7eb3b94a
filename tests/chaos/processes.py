"""Find the processes that inherited a mark, tell what each is for, end them by their ids."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARK = "CORPUSMILL_CHAOS"
KINDS = {
    "encoder": re.compile(r"^ray::.*MapWorker"),
    "index": re.compile(r"^ray::IndexPart"),
    "worker": re.compile(r"^ray::(?!.*(?:MapWorker|IndexPart|Agent))"),
    "raylet": re.compile(r"/raylet/raylet "),
    "head": re.compile(r"/gcs/gcs_server "),
}


def marked(mark: str) -> Iterator[tuple[int, str]]:
    """Process id and title of the living processes with the mark."""
    needle = f"{MARK}={mark}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if needle in (entry / "environ").read_bytes():
                title = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
                yield int(entry.name), title


def of_kind(mark: str, kind: str) -> list[int]:
    """Ids of the marked processes of a kind, in their order."""
    return sorted(pid for pid, title in marked(mark) if KINDS[kind].search(title))


def kill(pid: int) -> bool:
    """End a process as `kill -9` does; False when it had ended."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def end_all(mark: str) -> None:
    """End whatever still has the mark, but not this process."""
    for pid, _ in marked(mark):
        if pid != os.getpid():
            kill(pid)
