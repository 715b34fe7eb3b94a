"""`corpusmill report`: a page about a table, and what to do next with it."""

from typing import Annotated

import typer


def report(
    uri: Annotated[str, typer.Argument(help="Folder or s3:// URI of a table.")],
    out: Annotated[str, typer.Option(help="The HTML file to write, a path or an s3:// URI.")],
    version: Annotated[int, typer.Option(help="A version of the table; -1 is the newest.")] = -1,
) -> None:
    """Write a page about a version: figures, plots, gate, lineage; and say what to do next.

    It reads the log and some rows of at most 16 files, of negatives all rows.
    """
    from cluster.cli_table import existing
    from operators.storage.uri import write_bytes
    from pipelines.report.advice import advice
    from pipelines.report.facts import gathered
    from pipelines.report.page import page

    number = existing(uri, version)
    facts = gathered(uri, number)
    found = advice(facts)
    write_bytes(out, page(facts, found).encode())
    print(f"{out}: {uri}, version {number}, {facts.rows:,} rows")
    for one in found or ():
        print(f"- {one.what} {one.do}" + (f"\n  {one.command}" if one.command else ""))
    if not found:
        print("nothing stands out")
