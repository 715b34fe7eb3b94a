"""Options that several commands share, each with one name and one meaning."""

from typing import Annotated

import typer

from cluster import logs

Set = Annotated[
    list[str] | None, typer.Option("--set", help="Override a config value: path.to.key=value.")
]
Limit = Annotated[
    int, typer.Option(min=0, help="Read only the first rows of every source; 0 is all.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask above the budget, nor stop at it.")]
Rerun = Annotated[bool, typer.Option("--rerun", help="Repeat work that is done.")]
Refit = Annotated[
    bool, typer.Option("--refit", help="Learn anew what codecs and heads keep from an earlier run.")
]
Force = Annotated[
    str | None,
    typer.Option("--force-publish", help="Publish whatever the gate says; why, in words."),
]
NoProgress = Annotated[
    int, typer.Option(min=1, help="Seconds without a finished unit after which a run fails.")
]
WaitForNodes = Annotated[
    int, typer.Option(min=1, help="Seconds a range of workers waits for the nodes of its least.")
]
LogJson = Annotated[
    bool,
    typer.Option(
        "--log-json",
        callback=logs.asked,
        is_eager=True,
        help="Say everything on stderr as JSON, an object a line.",
    ),
]
RayLogs = Annotated[bool, typer.Option("--ray-logs", help="Show what Ray and its workers log.")]
Insecure = Annotated[
    bool, typer.Option("--allow-insecure", help="Use a cluster that asks for no token.")
]
