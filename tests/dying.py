"""A command that dies, as by kill -9, right before its n-th write; `-1` only counts the writes.

`python -m tests.dying N CONFIG`: every write of ours goes through three functions of storage.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from operators.storage import parquet, uri


def main(moment: int, config: str) -> int:
    """Run the config; the number of writes goes to stderr as its last line."""
    from cluster.cli import status

    done = [0]

    def counting(write: Callable[..., Any]) -> Callable[..., Any]:
        def dying(*arguments: Any, **named: Any) -> Any:
            if done[0] == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            done[0] += 1
            return write(*arguments, **named)

        return dying

    uri.write_bytes = counting(uri.write_bytes)
    uri.create_bytes = counting(uri.create_bytes)
    parquet.open_output = counting(parquet.open_output)
    code = status(["run", config, "--no-lease"])
    sys.stderr.write(f"{done[0]}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2]))
