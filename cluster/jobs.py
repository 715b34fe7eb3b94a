"""Jobs on a Ray cluster, through the Jobs API of its dashboard."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import ray
import ray.exceptions
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient, JobType

from cluster.authentication import dashboard_headers
from cluster.dates import told
from operators.errors import ConfigError, PreflightError
from operators.redaction import without_secrets

STATES = {
    JobStatus.PENDING: "waiting",
    JobStatus.RUNNING: "running",
    JobStatus.SUCCEEDED: "done",
    JobStatus.FAILED: "failed",
    JobStatus.STOPPED: "stopped",
}
ADDRESSES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
_CHATTY = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
_TERMINATED = 143
_LONGEST = 400


@dataclass(frozen=True)
class Job:
    """What a cluster knows of a job."""

    name: str
    details: JobDetails

    @property
    def state(self) -> str:
        """Waiting, running, done, failed or stopped."""
        return STATES[JobStatus(self.details.status)]

    @property
    def over(self) -> bool:
        """Whether it has come to an end, of whatever kind."""
        return JobStatus(self.details.status).is_terminal()

    @property
    def waiting(self) -> bool:
        """Whether its command has not begun."""
        return JobStatus(self.details.status) == JobStatus.PENDING

    @property
    def exit_code(self) -> int:
        """The command's own; 143 for one that was stopped, 1 where there is none.

        Ray keeps no exit code of a stopped job, and a killed one's is the signal, negated.
        """
        if self.state == "stopped":
            return _TERMINATED
        code = self.details.driver_exit_code
        if code is None:
            return 0 if self.state == "done" else 1
        return int(code) if code >= 0 else 128 - int(code)

    @property
    def digest(self) -> str:
        """Of what was submitted; empty where somebody else's tool submitted it."""
        return (self.details.metadata or {}).get("digest", "")

    @property
    def message(self) -> str:
        """The first line of what Ray says of a job that waits or was not even begun; else empty."""
        if not self.waiting and (self.state != "failed" or self.details.driver_exit_code):
            return ""
        text = (self.details.message or "").strip()
        return without_secrets(text.partition("\n")[0])[:_LONGEST]

    def line(self) -> str:
        """State and times as a clause."""
        begun, ended = _time(self.details.start_time), _time(self.details.end_time)
        if not self.over:
            return f"{self.state} since {begun}"
        code = f" with exit {self.exit_code}" if self.state == "failed" else ""
        return f"{self.state}{code} at {ended}"

    def lines(self) -> Iterator[tuple[str, str]]:
        """All there is to tell, as names and values."""
        yield "job", self.name
        yield "state", self.state
        yield "submitted", _time(self.details.start_time)
        if self.over:
            yield "ended", _time(self.details.end_time)
            yield "exit code", str(self.exit_code)
        yield "command", without_secrets(self.details.entrypoint or "")
        if self.message:
            yield "Ray says", self.message


@dataclass(frozen=True)
class Jobs:
    """The jobs of the cluster whose dashboard is at `url`; made by `jobs_at`."""

    url: str
    client: Any
    """Ray's; its methods raise RuntimeError for every answer but 200."""

    def find(self, name: str) -> Job | None:
        """The job of that name, None where there is none."""
        with answered(self.url):
            try:
                return Job(name, self.client.get_job_info(name))
            except RuntimeError as error:
                if "status code 404" in str(error):
                    return None
                raise

    def get(self, name: str) -> Job:
        """The job of that name; ConfigError where there is none."""
        if job := self.find(name):
            return job
        known = [job.name for job in self.all()]
        there = f"there are {', '.join(known[-5:])}" if known else "there is none"
        raise ConfigError(
            (f"no job {name!r} at {self.url}, which forgets them when its head restarts; {there}",)
        )

    def all(self) -> list[Job]:
        """Every submitted job that the cluster remembers, oldest first."""
        with answered(self.url):
            found = self.client.list_jobs()
        submitted = (each for each in found if each.type == JobType.SUBMISSION)
        jobs = [Job(str(each.submission_id), each) for each in submitted]
        return sorted(jobs, key=lambda job: job.details.start_time or 0)

    def log(self, name: str) -> str:
        """What the job's command has said until now."""
        with answered(self.url):
            return str(self.client.get_job_logs(name))


def jobs_at(address: str, authority: str = "", *, allow_insecure: bool = False) -> Jobs:
    """The jobs of the cluster with this dashboard, asked for with our token.

    PreflightError when it does not answer, does not take the token, or takes any.
    """
    url = address.rstrip("/")
    if not url.startswith(("http://", "https://")):
        problem = "expected the URL of a Ray dashboard, such as http://ray-head:8265"
        raise ConfigError((f"--address {address}: {problem}",))
    headers = dashboard_headers(url, authority, allow_insecure=allow_insecure)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.ERROR)
    with answered(url), _no_other_address():
        client = JobSubmissionClient(url, headers=headers, verify=authority or True)
    return Jobs(url, client)


@contextmanager
def answered(url: str) -> Iterator[None]:
    """Turn a refusal or a silence of the dashboard into one sentence, PreflightError."""
    try:
        yield
    except ray.exceptions.AuthenticationError as error:
        raise PreflightError(f"{url} does not take the token: {_first(error)}") from error
    except (RuntimeError, OSError) as error:
        raise PreflightError(f"the Ray dashboard at {url} failed: {_first(error)}") from error


@contextmanager
def _no_other_address() -> Iterator[None]:
    """Ray's environment, which its client would take instead of the address that it is given."""
    kept = {name: os.environ.pop(name) for name in ADDRESSES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def _first(error: Exception) -> str:
    """The line of an error that says what is wrong: a traceback's last, else the first."""
    lines = [line for line in without_secrets(str(error)).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    traced = any(line.startswith("Traceback") or "Traceback" in line for line in lines)
    return lines[-1 if traced else 0].strip()[:_LONGEST]


def _time(milliseconds: int | None) -> str:
    if not milliseconds:
        return "an unknown time"
    return told(datetime.fromtimestamp(milliseconds / 1000, UTC))
