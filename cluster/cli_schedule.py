"""`corpusmill schedule CONFIG --cron EXPRESSION`: run a config on dates, without a scheduler."""

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from cluster import cli_options as options
from cluster.stalled import NO_PROGRESS_SECONDS, WAIT_FOR_NODES
from operators.redaction import without_secrets


def schedule(  # noqa: PLR0913 - the command's options
    config: Annotated[str, typer.Argument(help="A YAML config, read anew for each run.")],
    cron: Annotated[
        str, typer.Option(help="Minute, hour, day, month, weekday, such as '0 3 * * *'.")
    ],
    timezone: Annotated[str, typer.Option(help="Zone of the cron, such as Europe/Paris.")] = "UTC",
    catch_up: Annotated[
        bool,
        typer.Option(
            "--catch-up/--skip-missed",
            help="Run each missed date, or only the newest: a run takes the source as it is now.",
        ),
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Run what is due, and exit with the run's status.")
    ] = False,
    name: Annotated[
        str, typer.Option(help="What the schedule is called; the default is the config's name.")
    ] = "",
    changes: options.Set = None,
    runner: Annotated[str, typer.Option(help="local or ray, as for run.")] = "",
    address: Annotated[str, typer.Option(help="Address of a Ray cluster.")] = "",
    yes: options.Yes = False,
    no_progress: options.NoProgress = NO_PROGRESS_SECONDS,
    wait_for_nodes: options.WaitForNodes = WAIT_FOR_NODES,
    log_json: options.LogJson = False,
    ray_logs: options.RayLogs = False,
    allow_insecure: options.Insecure = False,
) -> None:
    """Run a config on the dates of a cron, each run in a process of its own."""
    from cluster import commands
    from cluster.cron import cron as read_cron
    from cluster.due import Memory
    from cluster.run_options import Options
    from cluster.schedule import Schedule, serve
    from cluster.schedule import once as run_once
    from operators.storage.table import Table

    dates = read_cron(cron, timezone)
    pipeline = commands.loaded(config, changes, 0)
    commands.runner_named(runner, address)
    table = pipeline.phases[-1].write.table
    Table(table).check_writable()
    command = [sys.executable, *_our_packages(), "-m", "cluster.cli", "run", config]
    passed = Options(
        tuple(changes or ()),
        yes=yes,
        no_progress=no_progress,
        log_json=log_json,
        ray_logs=ray_logs,
        wait_for_nodes=wait_for_nodes,
    )
    command += passed.words()
    for option, value in (("--runner", runner), ("--address", address)):
        command += [option, value] if value else []
    command += ["--allow-insecure"] if allow_insecure else []
    memory = Memory(table, _plain(name) or Path(config).stem)
    planned = Schedule(dates, command, memory, _say, catch_up)
    if once:
        raise typer.Exit(run_once(planned))
    serve(planned)


def _our_packages() -> list[str]:
    """Has `-m` find the packages of this process: else a folder `cluster` here comes first."""
    return [] if Path(__file__).parents[1] == Path.cwd() else ["-P"]


def _plain(name: str) -> str:
    """A name that is one part of a path; ConfigError for another."""
    if name and not re.fullmatch(r"\w[\w.-]*", name):
        from operators.errors import ConfigError

        raise ConfigError((f"--name {name}: expected letters, digits, '-', '_' and '.'",))
    return name


def _say(line: str) -> None:
    print(without_secrets(line), flush=True)
