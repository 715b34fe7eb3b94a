"""From the options of `submit` to a job's command; everything is checked before it is sent."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cluster import commands
from cluster.dates import logical, told
from cluster.package import packaged, runtime_environment
from cluster.run_options import Options
from cluster.submission import Order, check_tables, job_name, now
from operators.errors import ConfigError


@dataclass(frozen=True)
class Asking:
    """What runs, and what travels with it."""

    config: str
    name: str = ""
    working_dir: str = ""
    runtime_env: str = ""
    allow_insecure: bool = False


@dataclass(frozen=True)
class Timing:
    """The date of a run, or the cron whose date is due."""

    date: str = ""
    cron: str = ""
    zone: str = "UTC"


def ordered(asking: Asking, options: Options, timing: Timing) -> Order:
    """The job's command and what travels; ConfigError with every mistake of the config."""
    commands.loaded(asking.config, list(options.changes), options.limit)
    commands.asked_for(date=timing.date, force=options.force)
    check_tables(asking.config, options.changes)
    package = packaged(asking.config, asking.working_dir)
    date, words = _scheduled(timing, options) if timing.cron else _once(timing, options)
    command = ["corpusmill", words[0], package.config, *words[1:]]
    command += ["--runner", "ray", "--address", "auto"]
    command += ["--allow-insecure"] if asking.allow_insecure else []
    name = job_name(asking.name or Path(asking.config).stem, date, command, now())
    return Order(name, command, package, runtime_environment(asking.runtime_env))


def _once(timing: Timing, options: Options) -> tuple[str, list[str]]:
    date = logical(timing.date)
    return date, ["run", *options.words(), *(["--date", date] if date else [])]


def _scheduled(timing: Timing, options: Options) -> tuple[str, list[str]]:
    """`schedule --once`, which remembers its dates beside the table; the job has the newest."""
    from cluster.cron import cron

    given = {"--date": timing.date, "--limit": options.limit, "--rerun": options.rerun}
    given |= {"--refit": options.refit, "--force-publish": options.force is not None}
    if meant := [name for name, value in given.items() if value]:
        raise ConfigError((f"--cron: what is due runs as the config says; leave out {meant[0]}",))
    last = cron(timing.cron, timing.zone).last(datetime.now(UTC))
    words = ["schedule", *options.words(), "--cron", timing.cron, "--timezone", timing.zone]
    return told(last) if last else "", [*words, "--once"]
