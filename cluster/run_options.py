"""What `submit` and `schedule` pass on to the `run` they start."""

from collections.abc import Iterator
from dataclasses import dataclass

from cluster.force import whoever
from cluster.stalled import NO_PROGRESS_SECONDS, WAIT_FOR_NODES


@dataclass(frozen=True)
class Options:
    """Options of `run`, as they were given to the command that starts it."""

    changes: tuple[str, ...] = ()
    limit: int = 0
    yes: bool = False
    rerun: bool = False
    force: str | None = None
    no_progress: int = NO_PROGRESS_SECONDS
    log_json: bool = False
    ray_logs: bool = False
    refit: bool = False
    wait_for_nodes: int = WAIT_FOR_NODES

    def words(self) -> Iterator[str]:
        """The same on a command line."""
        for each in self.changes:
            yield from ("--set", each)
        if self.limit:
            yield from ("--limit", str(self.limit))
        for flag in ("yes", "rerun", "refit", "log_json", "ray_logs"):
            if getattr(self, flag):
                yield f"--{flag.replace('_', '-')}"
        if self.no_progress != NO_PROGRESS_SECONDS:
            yield from ("--no-progress", str(self.no_progress))
        if self.wait_for_nodes != WAIT_FOR_NODES:
            yield from ("--wait-for-nodes", str(self.wait_for_nodes))
        if self.force is not None:  # the job runs as somebody else
            yield from ("--force-publish", f"{self.force.strip()} (submitted by {whoever()})")
