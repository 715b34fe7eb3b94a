"""`corpusmill search`: ask a committed table in words."""

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pipelines.search import Found

_WIDTH = 90
"""Characters of a text that are shown."""
_HOW = {
    "dense": "by vectors",
    "words": "by words",
    "both": "by the sum of vectors and words",
    "tokens": "by MaxSim of token vectors",
}


def search(  # noqa: PLR0913 - the command's options
    uri: Annotated[str, typer.Argument(help="Folder or s3:// URI of a table of vectors.")],
    queries: Annotated[list[str], typer.Argument(help="Texts, each asked for itself.")],
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="Hits of each query.")] = 10,
    by: Annotated[
        str, typer.Option(help="dense, words, both or tokens; default: as the table is made for.")
    ] = "",
    language: Annotated[
        str, typer.Option(help="Of the queries, where the table's model goes by it.")
    ] = "",
    version: Annotated[int, typer.Option(help="A version of the table; -1 is the newest.")] = -1,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a hit and line.")] = False,
) -> None:
    """Search a table exactly, with queries encoded by the model that its commit names."""
    from typing import get_args

    from operators.errors import ConfigError
    from operators.mine.ways import Way
    from pipelines.search import search as searched

    way: Way | None = next((each for each in get_args(Way) if each == by), None)
    if by and way is None:
        raise ConfigError((f"--by {by}: there are {', '.join(get_args(Way))}",))
    found = searched(uri, queries, k, version=version, way=way, language=language)
    for line in _json(found, queries) if as_json else _told(found, queries):
        print(line)


def _told(found: "Found", queries: list[str]) -> Iterator[str]:
    """Each query, and under it a line a hit: score, id, how its text begins."""
    version = f"{found.table.uri}, version {found.table.version}"
    yield f"{found.rows:,} rows of {version}, {_HOW[found.way]}"
    rows = _texts(found)
    for number, query in enumerate(queries):
        yield f"\n{query}"
        own = [row for row in rows if row["query"] == number]
        for row in own:
            text = " ".join((row["text"] or "").split())
            yield f"  {row['score']:8.4f}  {row['id']}  {text[:_WIDTH]}"
        if not own:
            yield "  nothing"


def _json(found: "Found", queries: list[str]) -> Iterator[str]:
    import json

    for row in _texts(found):
        names = ("id", "score", "rank", "text")
        yield json.dumps({"query": queries[row["query"]]} | {name: row[name] for name in names})


def _texts(found: "Found") -> list[dict[str, Any]]:
    """The hits with their texts; without them where their source is gone, which is told."""
    from cluster import logs
    from operators.errors import SourceError
    from pipelines.search import with_texts

    try:
        return with_texts(found).to_pylist()
    except SourceError as error:
        logs.say(f"no texts: {error}", {}, logging.WARNING)
        return [{**row, "text": None} for row in found.hits.to_pylist()]
