"""A config as a job: what it is called, what it runs, and that it runs once."""

import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cluster.dates import told
from cluster.jobs import Job, Jobs, answered
from cluster.package import STOP_SECONDS, Package
from operators.errors import ConfigError, PreflightError
from operators.redaction import secret_in
from operators.storage.uri import is_local
from pipelines.raw import change, parsed

_NOT_YET = "No available agent"
_TRIES = 4
"""Of submitting to a head that is not ready; each takes ten seconds."""
_TOO_LARGE = ("exceed", "413", "too large")


@dataclass(frozen=True)
class Order:
    """A command for a cluster, and what it needs there."""

    name: str
    """What its job is called; a repeat of it is the same job."""
    command: Sequence[str]
    package: Package
    environment: Mapping[str, Any]
    """Ray's runtime environment, without the package."""

    @property
    def digest(self) -> str:
        """Of all that decides what the job does."""
        config = (self.package.root / self.package.config).read_bytes()
        rest = json.dumps([list(self.command), dict(self.environment)], sort_keys=True)
        return hashlib.blake2b(config + rest.encode(), digest_size=8).hexdigest()

    def runtime(self) -> dict[str, Any]:
        """Ray's runtime environment with the package, and with time to stop cleanly."""
        variables = {"RAY_JOB_STOP_WAIT_TIME_S": STOP_SECONDS}
        variables |= self.environment.get("env_vars") or {}
        excludes = [*(self.environment.get("excludes") or ()), *self.package.excludes()]
        mine = {"working_dir": str(self.package.root), "excludes": excludes}
        return {**self.environment, **mine, "env_vars": variables}


def job_name(pipeline: str, date: str, command: Sequence[str], moment: datetime) -> str:
    """The pipeline with its logical date; without a date each moment is a job of its own.

    The name is part of URLs and file names.
    """
    plain = re.sub(r"[^\w.-]+", "-", pipeline).strip("-.") or "job"
    if date:
        return f"{plain}-{_compact(date)}"
    mark = hashlib.blake2b(json.dumps(list(command)).encode(), digest_size=3).hexdigest()
    return f"{plain}-{_compact(told(moment))}-{mark}"


def submit(jobs: Jobs, order: Order, *, again: bool) -> tuple[Job, bool]:
    """The order's job and whether it is new; one that is there already is not submitted twice.

    With `again` a job that is over is followed by another. PreflightError when the name is
    another order's.
    """
    _check_secrets(order)
    last, count = _attempts(jobs, order.name)
    if last and not (again and last.over):
        return _already(last, order), False
    name = f"{order.name}-{count + 1}" if last else order.name
    return _sent(jobs, order, name)


def check_tables(config: str, changes: Sequence[str]) -> None:
    """ConfigError when a phase writes to a relative path: on a cluster it goes with the job."""
    raw = parsed(Path(config).read_text(encoding="utf-8"))
    for each in changes:
        change(raw, each)
    tables = {name: str(phase["write"]["table"]) for name, phase in raw["phases"].items()}
    mistakes = [
        f"{config}: phase {name}, write: table {table} is a relative path: on the cluster it would "
        "lie in the job's own folder and go with it; name a store, such as s3://lake/vectors, or "
        "the full path of a disk that all nodes share"
        for name, table in tables.items()
        if is_local(table) and not table.startswith(("/", "file://"))
    ]
    if mistakes:
        raise ConfigError(tuple(mistakes))


def _attempts(jobs: Jobs, name: str) -> tuple[Job | None, int]:
    """The last job of that name and how many there are: NAME, NAME-2, NAME-3 and so on.

    Ray keeps the log of a deleted job and says not to use its name again.
    """
    last, count = jobs.find(name), 0
    found = last
    while found:
        last, count = found, count + 1
        found = jobs.find(f"{name}-{count + 1}")
    return last, count


def _already(job: Job, order: Order) -> Job:
    if job.digest and job.digest != order.digest:
        raise PreflightError(
            f"job {job.name} was submitted with another config or other options, and is "
            f"{job.line()}; --again submits this one once that is over, --name gives it a name "
            "of its own"
        )
    return job


def _sent(jobs: Jobs, order: Order, name: str) -> tuple[Job, bool]:
    with answered(jobs.url):
        try:
            _send(jobs, order, name)
        except (RuntimeError, ValueError) as error:
            if "already exists" in str(error):  # somebody was a moment faster
                return _already(jobs.get(name), order), False
            if any(sign in str(error) for sign in _TOO_LARGE):
                raise _too_large(order.package) from error
            raise RuntimeError(str(error)) from error
    return jobs.get(name), True


def _send(jobs: Jobs, order: Order, name: str) -> None:
    """Submit; a head that has just started says for a while that nobody takes jobs."""
    for last in [False] * (_TRIES - 1) + [True]:
        try:
            jobs.client.submit_job(
                entrypoint=shlex.join(order.command),
                runtime_env=order.runtime(),
                submission_id=name,
                metadata={"digest": order.digest, "config": order.package.config},
            )
        except RuntimeError as error:
            if last or _NOT_YET not in str(error):
                raise
        else:
            return


def _too_large(package: Package) -> PreflightError:
    return PreflightError(
        f"{package.root} is more than the cluster takes as a working directory; the largest files "
        f"are {', '.join(package.largest())}: name them in .rayignore there, or another "
        "--working-dir"
    )


def _check_secrets(order: Order) -> None:
    """What is sent can be read by whoever opens the dashboard."""
    if held := secret_in(json.dumps([list(order.command), dict(order.environment)])):
        raise ConfigError((f"the job cannot be submitted: {held}; give it to the cluster's pods",))


def _compact(date: str) -> str:
    return date.replace("-", "").replace(":", "")


def now() -> datetime:
    """The moment, as a label of a job."""
    return datetime.now(UTC)
