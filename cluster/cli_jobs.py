"""`corpusmill submit|status|logs|stop`: jobs on a Ray cluster that is reached by its dashboard."""

import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from cluster import cli_options as options
from cluster.stalled import NO_PROGRESS_SECONDS, WAIT_FOR_NODES

if TYPE_CHECKING:
    from cluster.jobs import Job, Jobs

Address = Annotated[
    str,
    typer.Option(
        envvar=["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"],
        help="URL of the cluster's dashboard, such as http://ray-head:8265.",
    ),
]
Authority = Annotated[
    str, typer.Option("--verify", help="Certificates to check an https address with; a file.")
]
Name = Annotated[str, typer.Argument(metavar="JOB", help="What `submit` called the job.")]
Follow = Annotated[
    bool, typer.Option("--follow", help="Tell its log to the end; exit with its exit code.")
]


def submit(  # noqa: PLR0913 - the command's options
    config: Annotated[str, typer.Argument(help="A YAML config; it is checked here first.")],
    address: Address = "",
    follow: Follow = False,
    date: Annotated[
        str, typer.Option(help="Logical date: the job of a config and a date runs once.")
    ] = "",
    cron: Annotated[
        str, typer.Option(help="Run what is due by this cron, as `schedule --once` does.")
    ] = "",
    timezone: Annotated[str, typer.Option(help="Zone of the cron, such as Europe/Paris.")] = "UTC",
    name: Annotated[
        str, typer.Option(help="What the job is called; the default is the config's name.")
    ] = "",
    again: Annotated[
        bool, typer.Option("--again", help="Submit once more if the job of that date is over.")
    ] = False,
    working_dir: Annotated[
        str, typer.Option(help="Folder that travels with the job; the default is the config's.")
    ] = "",
    runtime_env: Annotated[
        str, typer.Option(help="YAML of Ray's runtime environment; the default is the image's.")
    ] = "",
    changes: options.Set = None,
    limit: options.Limit = 0,
    yes: options.Yes = False,
    rerun: options.Rerun = False,
    refit: options.Refit = False,
    force: options.Force = None,
    no_progress: options.NoProgress = NO_PROGRESS_SECONDS,
    wait_for_nodes: options.WaitForNodes = WAIT_FOR_NODES,
    log_json: options.LogJson = False,
    ray_logs: options.RayLogs = False,
    authority: Authority = "",
    allow_insecure: options.Insecure = False,
) -> None:
    """Run a config as a job on a Ray cluster; it goes on when this command has ended."""
    from cluster import ordering
    from cluster.run_options import Options

    wanted = Options(
        tuple(changes or ()),
        limit,
        yes,
        rerun,
        force,
        no_progress,
        log_json,
        ray_logs,
        refit,
        wait_for_nodes,
    )
    timing = ordering.Timing(date, cron, timezone)
    order = ordering.ordered(
        ordering.Asking(config, name, working_dir, runtime_env, allow_insecure), wanted, timing
    )
    from cluster.jobs import jobs_at
    from cluster.submission import submit as submitted

    jobs = jobs_at(address, authority, allow_insecure=allow_insecure)
    job, new = submitted(jobs, order, again=again)
    print(f"job {job.name} " + ("submitted" if new else f"already submitted: {job.line()}"))
    if follow:
        raise typer.Exit(_followed(jobs, job.name))
    print(f"  its log: corpusmill logs {job.name} --address {jobs.url} --follow")
    if job.over and job.exit_code:
        from operators.errors import PreflightError

        raise PreflightError(f"job {job.name} is over; --again submits it once more")


def status(
    name: Annotated[str, typer.Argument(metavar="JOB", help="A job; none lists them all.")] = "",
    address: Address = "",
    authority: Authority = "",
    allow_insecure: options.Insecure = False,
) -> None:
    """What a job is doing and how it ended; exits with 0 whatever that is."""
    from cluster.jobs import jobs_at

    jobs = jobs_at(address, authority, allow_insecure=allow_insecure)
    if not name:
        for job in (found := jobs.all()):
            print(f"{job.name}  {job.line()}")
        if not found:
            print("no job")
        return
    for what, value in jobs.get(name).lines():
        print(f"{what + ':':<11} {value}")


def logs(
    name: Name,
    address: Address = "",
    follow: Follow = False,
    authority: Authority = "",
    allow_insecure: options.Insecure = False,
) -> None:
    """What a job has said; with --follow until it is over."""
    from cluster.jobs import jobs_at

    jobs = jobs_at(address, authority, allow_insecure=allow_insecure)
    jobs.get(name)
    if follow:
        raise typer.Exit(_followed(jobs, name))
    _say(jobs.log(name))


def stop(
    name: Name,
    address: Address = "",
    authority: Authority = "",
    allow_insecure: options.Insecure = False,
) -> None:
    """Stop a job and wait until it is over; what it had finished is kept for the next run."""
    from cluster.following import stop as stopped
    from cluster.jobs import jobs_at

    jobs = jobs_at(address, authority, allow_insecure=allow_insecure)
    print(stopped(jobs, name))


def _followed(jobs: "Jobs", name: str) -> int:
    """Tell a job's log to its end; its exit code.

    Ctrl-C leaves the job alone. SIGTERM comes from what runs this command, which would think the
    job ended with it: the job is stopped.
    """
    from cluster.following import follow
    from cluster.following import stop as stopped

    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        job = follow(jobs, name, _say)
    except KeyboardInterrupt:
        print(
            f"job {name} goes on; corpusmill logs {name} --follow comes back to it, "
            f"corpusmill stop {name} ends it",
            file=sys.stderr,
        )
        return 130
    except _Terminated:
        print(stopped(jobs, name), file=sys.stderr)
        return 143
    finally:
        signal.signal(signal.SIGTERM, before)
    _conclude(job)
    return job.exit_code


def _conclude(job: "Job") -> None:
    said = f": {job.message}" if job.message else ""
    print(f"job {job.name}: {job.line()}{said}", file=sys.stderr)


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


class _Terminated(BaseException):
    """SIGTERM came while a job was followed."""


def _terminated(number: int, frame: FrameType | None) -> None:
    raise _Terminated
