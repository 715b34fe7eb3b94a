"""`corpusmill compat`: must a corpus be embedded again with another model?"""

from typing import Annotated

import typer

Table = Annotated[str, typer.Argument(help="Folder or s3:// URI of a vectors table.")]


def compat(  # noqa: PLR0913 - the command's options
    old: Table,
    new: Table,
    queries: Annotated[
        str, typer.Option(help="Judged queries, a file or a BEIR folder; default: titles ask.")
    ] = "",
    qrels: Annotated[str, typer.Option(help="Their judgments, as for mining.")] = "",
    title: Annotated[str, typer.Option(help="Column of the source whose values ask.")] = "",
    sample: Annotated[
        int, typer.Option(min=30, help="Documents compared at most; memory grows with them.")
    ] = 20_000,
    tolerance: Annotated[
        float, typer.Option(min=0, max=1, help="nDCG@10 that a difference must exceed.")
    ] = 0.01,
    old_version: Annotated[int, typer.Option(help="A version of OLD; -1 is the newest.")] = -1,
    new_version: Annotated[int, typer.Option(help="A version of NEW; -1 is the newest.")] = -1,
    seed: Annotated[int, typer.Option(min=0, help="Draws the sample.")] = 0,
    whole: Annotated[str, typer.Option("--json", help="File for all that was measured.")] = "",
    out: Annotated[str, typer.Option(help="Folder for the best map, as `adapt` reads it.")] = "",
) -> None:
    """Measure two models' vectors of one corpus: keep the old ones, map them, or re-embed.

    NEW may hold a part of the corpus only: documents that both tables hold are compared.
    """
    import json

    from cluster.progress import Progress
    from operators.errors import ConfigError
    from operators.storage.uri import write_bytes
    from pipelines.compat.compare import Wish, compare
    from pipelines.compat.report import config_lines, to_json, told, written

    if bool(queries) != bool(qrels):
        lacking = "--qrels" if queries else "--queries"
        raise ConfigError((f"{lacking} is missing: judged queries need both",))
    if queries and title:
        raise ConfigError(("--title and --queries: either titles ask or judged queries",))
    wish = Wish(old, new, old_version, new_version, queries, qrels, title, sample, tolerance, seed)
    found = compare(wish, Progress().say)
    for line in told(found):
        print(line)
    if whole:
        write_bytes(whole, (json.dumps(to_json(found), indent=2) + "\n").encode())
    places = written(found, out) if out else ["(--out stores it)" for _ in found.best.maps]
    if found.advice.verdict == "map":
        print("\nThe config that applies it:\n")
        for line in config_lines(found, places):
            print(line)
    elif places and out:
        print(f"the best map: {', '.join(places)}")
