"""Follow a job's log to its end, and stop a job whatever it is doing."""

import asyncio
import shlex
import time
import uuid
from collections.abc import Callable

import aiohttp
import ray.exceptions
from ray.dashboard.modules.job.common import (
    JOB_ACTOR_NAME_TEMPLATE,
    SUPERVISOR_ACTOR_RAY_NAMESPACE,
)

from cluster.jobs import Job, Jobs, answered
from cluster.package import STOP_SECONDS
from operators.errors import ClusterError, ConfigError, PreflightError

Say = Callable[[str], None]
_BEAT = 0.5
_TRIES = 20
"""Times that a lost connection is taken up again before following ends."""
_REST = 3.0
_WAITING = 5.0
"""Seconds that a job may go on waiting after it was told to stop, before it is taken back."""
_TAKING_BACK = 90.0
_TAKE_BACK = (
    "import sys, ray; ray.init('auto', namespace=sys.argv[1], log_to_driver=False); "
    "ray.kill(ray.get_actor(sys.argv[2]))"
)


def follow(jobs: Jobs, name: str, say: Say) -> Job:
    """Tell a job's log as it comes until the job is over; the job then.

    ClusterError when the log breaks off for a minute, or the job is gone from a head that began
    anew; the job may go on. PreflightError when the token is no longer taken.
    """
    told, tries = 0, 0
    while True:
        before = told
        told, whole = asyncio.run(_told(jobs, name, say, told))
        try:
            job = _settled(jobs, name)
            if job.over:
                if not whole:
                    say(jobs.log(name)[told:])
                return job
            lost = ""
        except (PreflightError, ConfigError) as error:
            if isinstance(error.__cause__, ray.exceptions.AuthenticationError):
                raise
            lost = f": {error}"  # what broke the log mostly breaks this request too
        tries = 0 if told > before else tries + 1
        if tries > _TRIES:
            problem = f"the log of job {name} broke off; it may go on there{lost}"
            raise ClusterError(jobs.url, problem)
        time.sleep(_REST)


def stop(jobs: Jobs, name: str) -> str:
    """Stop a job and wait until it is over; what came of it, as a sentence."""
    job = jobs.get(name)
    if job.over:
        return f"job {name} was over: {job.line()}"
    begun = not job.waiting
    with answered(jobs.url):
        jobs.client.stop_job(name)
    job = _waited(jobs, name, _WAITING, lambda found: not found.waiting)
    if job.waiting:
        return _take_back(jobs, name)
    job = _waited(jobs, name, float(STOP_SECONDS) + 30, lambda found: found.over)
    if not job.over:
        raise ClusterError(jobs.url, f"job {name} was told to stop and is still {job.state}")
    if job.state == "stopped":
        return f"job {name} is stopped" + ("" if begun else ", as it was about to begin")
    return f"job {name} was over before it could be stopped: {job.line()}"


def _take_back(jobs: Jobs, name: str) -> str:
    """End a job that no node takes: Ray notes the stop and leaves it waiting (2.60).

    Only a driver on the cluster can kill what waits for a node, so a small job does.
    """
    with answered(jobs.url):
        command = ["python", "-c", _TAKE_BACK, SUPERVISOR_ACTOR_RAY_NAMESPACE]
        command.append(JOB_ACTOR_NAME_TEMPLATE.format(job_id=name))
        helper = f"stop-{name}-{uuid.uuid4().hex[:6]}"
        jobs.client.submit_job(entrypoint=shlex.join(command), submission_id=helper)
    done = _waited(jobs, helper, _TAKING_BACK, lambda found: found.over)
    job = _waited(jobs, name, _WAITING, lambda found: found.over)
    if not job.over:
        problem = f"job {name} was told to stop and still waits; job {helper} was to take it back"
        raise ClusterError(jobs.url, f"{problem} and is {done.line()}")
    with answered(jobs.url):
        jobs.client.delete_job(name)  # not the helper: of a job with a driver a ghost would stay
    return f"job {name} had not begun: it is taken back, and the cluster has forgotten it"


def _waited(jobs: Jobs, name: str, patience: float, enough: Callable[[Job], bool]) -> Job:
    """The job once it is as wanted, or as it is when the patience is over."""
    deadline = time.monotonic() + patience
    while not enough(job := jobs.get(name)) and time.monotonic() < deadline:
        time.sleep(_BEAT)
    return job


def _settled(jobs: Jobs, name: str) -> Job:
    """The job after its log ended, which it does a moment before the cluster calls it over."""
    return _waited(jobs, name, _REST, lambda found: found.over)


async def _told(jobs: Jobs, name: str, say: Say, skip: int) -> tuple[int, bool]:
    """Tell the log beyond its first `skip` characters; how many are told, and whether all are."""
    seen = 0
    try:
        async for text in jobs.client.tail_job_logs(name):
            seen += len(text)
            if seen > skip:
                say(text[-(seen - skip) :])
                skip = seen
    except (aiohttp.ClientError, RuntimeError, OSError):
        return skip, False  # the connection broke: whether the job goes on is asked for next
    return skip, True
