"""Following a log whose connection breaks: nothing is told twice, nothing is lost, and it ends."""

from collections.abc import AsyncIterator, Sequence

import pytest
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobType

from cluster import following
from cluster.following import follow
from cluster.jobs import Job, Jobs
from operators.errors import ClusterError, PreflightError

LOG = ["phase vectors: planning\n", "phase vectors: 1/3 units\n", "error: the gate refused\n"]


class Breaking:
    """What Ray's client is to a follower: each connection tells the log anew and may break."""

    def __init__(self, *lasting: int, code: int | None = 4) -> None:
        self.lasting, self.code = list(lasting), code

    async def tail_job_logs(self, name: str) -> AsyncIterator[str]:
        lasts = self.lasting.pop(0) if self.lasting else 0
        for text in LOG[:lasts]:
            yield text
        if lasts < len(LOG):
            raise RuntimeError("WebSocket connection closed unexpectedly with close code 1006")

    def get_job_logs(self, name: str) -> str:
        return "".join(LOG)

    def get_job_info(self, name: str) -> JobDetails:
        ended = not self.lasting and self.code is not None
        return details(JobStatus.FAILED if ended else JobStatus.RUNNING, self.code)


class Silent(Breaking):
    """The same, whose answers about the job begin with these faults."""

    def __init__(self, *lasting: int, faults: Sequence[Exception]) -> None:
        super().__init__(*lasting)
        self.faults = list(faults)

    def get_job_info(self, name: str) -> JobDetails:
        if self.faults:
            raise self.faults.pop(0)
        return super().get_job_info(name)

    def list_jobs(self) -> list[JobDetails]:
        return []


REFUSED = ConnectionError("[Errno 111] Connection refused")
PROXY = RuntimeError("Request failed with status code 502: Bad Gateway.")
GONE = RuntimeError("Request failed with status code 404: Job x does not exist.")


def details(status: JobStatus, code: int | None = None, message: str = "") -> JobDetails:
    return JobDetails(
        type=JobType.SUBMISSION,
        entrypoint="corpusmill run x.yaml",
        status=status,
        message=message,
        driver_exit_code=code,
        start_time=1_795_316_400_000,
        end_time=1_795_316_460_000,
    )


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(following, "_REST", 0.0)


@pytest.mark.parametrize("lasting", [(3,), (1, 3), (0, 2, 1, 3), (2, 2, 3), (1,), (0, 2)])
def test_a_log_that_breaks_off_is_taken_up_where_it_was(lasting):
    said: list[str] = []
    job = follow(Jobs("http://nowhere", Breaking(*lasting)), "x", said.append)
    assert "".join(said) == "".join(LOG)
    assert (job.state, job.exit_code) == ("failed", 4)


def test_a_log_that_never_comes_back_is_given_up_in_a_sentence():
    with pytest.raises(ClusterError, match="the log of job x broke off; it may go on there"):
        follow(Jobs("http://nowhere", Breaking(1, code=None)), "x", lambda text: None)


@pytest.mark.parametrize("faults", [[REFUSED], [PROXY, REFUSED], [GONE, PROXY]])
def test_a_dashboard_that_does_not_answer_for_a_while_is_asked_again(faults):
    said: list[str] = []
    job = follow(Jobs("http://nowhere", Silent(1, 2, faults=faults)), "x", said.append)
    assert "".join(said) == "".join(LOG)
    assert job.exit_code == 4


@pytest.mark.parametrize(
    ("fault", "phrase"),
    [
        (REFUSED, "the Ray dashboard at http://nowhere failed: .* Connection refused"),
        (PROXY, "the Ray dashboard at http://nowhere failed: .* 502"),
        (GONE, "no job 'x' at http://nowhere, which forgets them when its head restarts"),
    ],
)
def test_a_dashboard_that_stays_silent_and_a_job_it_forgot_are_failures_not_refusals(fault, phrase):
    silent = Silent(2, faults=[fault] * 99)
    with pytest.raises(ClusterError, match=f"broke off; it may go on there: {phrase}") as failed:
        follow(Jobs("http://nowhere", silent), "x", lambda text: None)
    assert failed.value.exit_code == 1


def test_a_token_that_is_no_longer_taken_ends_the_following_at_once():
    silent = Silent(1, faults=[AuthenticationError("no"), REFUSED])
    with pytest.raises(PreflightError, match="http://nowhere does not take the token"):
        follow(Jobs("http://nowhere", silent), "x", lambda text: None)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (JobStatus.SUCCEEDED, 0, 0),
        (JobStatus.FAILED, 5, 5),
        (JobStatus.FAILED, -9, 137),
        (JobStatus.FAILED, None, 1),
        (JobStatus.STOPPED, None, 143),
    ],
)
def test_a_job_ends_with_its_commands_code_a_signal_or_what_stands_for_none(status, code, expected):
    assert Job("x", details(status, code)).exit_code == expected


def test_what_ray_says_is_told_where_the_command_never_ran_and_without_its_secrets(monkeypatch):
    monkeypatch.setenv("LAKE_PASSWORD", "correct-horse")
    message = "runtime_env setup failed: no correct-horse here\nTraceback"
    job = Job("x", details(JobStatus.FAILED, None, message))
    assert dict(job.lines())["Ray says"] == "runtime_env setup failed: no *** here"
    assert "Ray says" not in dict(Job("x", details(JobStatus.FAILED, 4, message)).lines())
