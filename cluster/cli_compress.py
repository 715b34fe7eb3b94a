"""`corpusmill compress`: how few bytes a row do for a table's vectors?"""

from typing import Annotated

import typer

_WIDTH = 120
"""Columns that a table has at least, also where lines go to a file."""


def compress(  # noqa: PLR0913 - the command's options
    uri: Annotated[str, typer.Argument(help="Folder or s3:// URI of a vectors table.")],
    schemes: Annotated[
        str, typer.Option(help="As int8,pq:blocks=32,rabitq:dims=256; default: every scheme.")
    ] = "",
    queries: Annotated[
        str, typer.Option(help="Judged queries, a file or a BEIR folder; default: rows ask.")
    ] = "",
    qrels: Annotated[str, typer.Option(help="Their judgments, as for mining.")] = "",
    sample: Annotated[
        int, typer.Option(min=50, help="Rows searched at most; memory grows with them.")
    ] = 20_000,
    k: Annotated[
        int, typer.Option("-k", "--k", min=1, help="Of recall@k against the vectors stored.")
    ] = 10,
    loss: Annotated[
        float,
        typer.Option(min=0, max=1, help="nDCG@10 given up at most; recall@k without judgments."),
    ] = 0.01,
    version: Annotated[int, typer.Option(help="A version of the table; -1 is the newest.")] = -1,
    seed: Annotated[int, typer.Option(min=0, help="Draws the sample.")] = 0,
    whole: Annotated[str, typer.Option("--json", help="File for all that was measured.")] = "",
) -> None:
    """Measure each scheme on a table: bytes, recall, nDCG@10, error; and name the smallest.

    Nothing is written to the table. What a scheme learns, it learns from the sample.
    """
    import json

    from cluster.progress import Progress
    from operators.errors import ConfigError
    from operators.storage.uri import write_bytes
    from pipelines.compress.measure import Wish
    from pipelines.compress.measure import compress as measured
    from pipelines.compress.report import head, rows, to_json, told

    if bool(queries) != bool(qrels):
        lacking = "--qrels" if queries else "--queries"
        raise ConfigError((f"{lacking} is missing: judged queries need both",))
    wish = Wish(uri, version, schemes, queries, qrels, sample, k, loss, seed)
    found = measured(wish, Progress().say)
    _show(head(found), list(rows(found)))
    for line in told(found):
        print(line)
    if whole:
        write_bytes(whole, (json.dumps(to_json(found), indent=2) + "\n").encode())


def _show(head: list[str], rows: list[list[str]]) -> None:
    """A table on a terminal, and the same lines where there is none."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for place, name in enumerate(head):
        table.add_column(name, justify="right" if place else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False, highlight=False)
    console.width = max(console.width, _WIDTH)
    console.print(table)
