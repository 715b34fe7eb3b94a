"""The memory of a process; imports nothing that would add to it."""

import resource
from pathlib import Path


def peak_bytes() -> int:
    """Peak resident bytes of this process.

    VmHWM where there is one: ru_maxrss of Linux survives exec, so it may be the parent's.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text(encoding="utf-8").splitlines()
        line = next(line for line in lines if line.startswith("VmHWM"))
        return int(line.split()[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
