"""The command line: every command, and the one place where an error becomes an exit status."""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from cluster import (
    cli_changes,
    cli_compat,
    cli_compress,
    cli_export,
    cli_jobs,
    cli_mexa,
    cli_report,
    cli_schedule,
    cli_search,
    cli_table,
    logs,
)
from cluster import cli_options as options
from cluster.stalled import NO_PROGRESS_SECONDS, WAIT_FOR_NODES
from operators.errors import ConfigError, CorpusmillError
from operators.redaction import secret_in

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # to draw boxes around the help takes longer than all the rest of it
    context_settings={"max_content_width": 100},
)
app.add_typer(cli_table.app, name="table", help="Look into a table, check it, take it back.")
cli_table.app.command()(cli_changes.diff)
cli_table.app.command()(cli_changes.erase)
app.command()(cli_compat.compat)
app.command()(cli_compress.compress)
app.command()(cli_export.export)
app.command()(cli_mexa.mexa)
app.command()(cli_report.report)
app.command()(cli_schedule.schedule)
app.command()(cli_search.search)
for command in (cli_jobs.submit, cli_jobs.status, cli_jobs.logs, cli_jobs.stop):
    app.command()(command)

_STOPPED = {130: "interrupted", 143: "terminated"}
_received: list[int] = []
"""The status of the signal that ends this process; Ray makes 1 of it where it waits (2.60)."""

Config = Annotated[str, typer.Argument(help="A YAML config; see configs/ and `corpusmill schema`.")]


def _tell_version(wanted: bool) -> None:
    if wanted:
        from pipelines.fingerprint import code_version

        print(f"corpusmill {code_version()}")
        raise typer.Exit


@app.callback()
def corpusmill(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell the version."),
    ] = False,
) -> None:
    """A corpus goes in; retrieval-ready vectors and retriever training data come out."""


@app.command()
def run(  # noqa: PLR0913 - the command's options
    config: Config,
    changes: options.Set = None,
    runner: Annotated[
        str, typer.Option(help="local or ray; the default is ray with an address, else local.")
    ] = "",
    address: Annotated[str, typer.Option(help="Address of a Ray cluster; none starts one.")] = "",
    limit: options.Limit = 0,
    yes: options.Yes = False,
    rerun: options.Rerun = False,
    refit: options.Refit = False,
    date: Annotated[
        str, typer.Option(help="Logical date of a scheduled run: an ISO date its commit records.")
    ] = "",
    no_lease: Annotated[
        bool, typer.Option("--no-lease", help="Run beside a run of the same table.")
    ] = False,
    no_progress: options.NoProgress = NO_PROGRESS_SECONDS,
    wait_for_nodes: options.WaitForNodes = WAIT_FOR_NODES,
    force: options.Force = None,
    log_json: options.LogJson = False,
    ray_logs: options.RayLogs = False,
    allow_insecure: options.Insecure = False,
) -> None:
    """Run a config's phases and commit their tables."""
    from cluster import commands

    asked = commands.asked_for(rerun=rerun, refit=refit, date=date, force=force)
    pipeline = commands.loaded(config, changes, limit)
    chosen = commands.runner_named(
        runner,
        address,
        no_progress,
        wait_for_nodes=wait_for_nodes,
        ray_logs=ray_logs,
        allow_insecure=allow_insecure,
    )
    commands.run(pipeline, chosen, asked, yes=yes, lease=not no_lease)


@app.command()
def plan(
    config: Config,
    changes: options.Set = None,
    limit: options.Limit = 0,
    no_probe: Annotated[bool, typer.Option("--no-probe", help="Load no model.")] = False,
) -> None:
    """Dry run: the DAG, units, tokens, truncation, hours, cost and bytes; writes nothing."""
    from cluster import commands

    commands.show_plan(commands.loaded(config, changes, limit), probe=not no_probe)


@app.command()
def operators(name: Annotated[str, typer.Argument(help="One operator.")] = "") -> None:
    """The operators a config can name, and their fields."""
    from cluster.catalogue import show_operators

    show_operators(name)


@app.command()
def schema() -> None:
    """The JSON Schema of a config, for editors."""
    import json

    from pipelines.schema import config_schema

    print(json.dumps(config_schema(), indent=2))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the demo's table.")] = Path("out/demo"),
    passages: Annotated[int, typer.Option(min=1, help="Passages of the corpus.")] = 6000,
) -> None:
    """Embed the docstrings of the installed packages and search them."""
    from cluster.demo import run_demo

    run_demo(out, passages)


def main() -> None:
    """Run the command line and end the process with its exit status."""
    os.environ.setdefault("RUST_LOG", "error")  # deltalake's libraries warn in pages of debris
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(status(sys.argv[1:]))


def status(arguments: Sequence[str]) -> int:
    """Run one command; an error is one clear sentence on stderr and its status (DESIGN §5)."""
    logs.choose(as_json=bool(os.environ.get(logs.VARIABLE)))
    try:
        refuse_secrets(arguments)
        app(list(arguments), prog_name="corpusmill")
    except CorpusmillError as error:
        logs.say(str(error), {"exit_code": error.exit_code}, logging.ERROR)
        return error.exit_code
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        code = _received.pop() if _received and code else code  # a schedule ends well on SIGTERM
        if code in _STOPPED:
            logs.say(f"{_STOPPED[code]}; run again to go on where it stopped", {"exit_code": code})
        return code
    except Exception as error:  # noqa: BLE001 - the last resort: a fault of ours, with its trace
        logs.LOG.exception("%s: %s", type(error).__name__, error)
        return 1
    return 0


def refuse_secrets(arguments: Sequence[str]) -> None:
    """ConfigError for a command line that holds a secret: every user of the machine can read it."""
    for said in (found for each in arguments if (found := secret_in(each))):
        raise ConfigError((f"the command line: {said}; credentials come from the environment",))


def _terminated(number: int, frame: FrameType | None) -> None:
    _received.append(128 + number)
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
