"""`corpusmill mexa`: which languages a model aligns, and at which layer."""

from enum import StrEnum
from typing import Annotated

import typer


class Pooling(StrEnum):
    """How a sentence's states become one vector."""

    wmean = "wmean"
    mean = "mean"
    last = "last"
    cls = "cls"


def mexa(  # noqa: PLR0913 - the command's options
    model: Annotated[str, typer.Argument(help="Folder, preset or hub name of a model.")],
    files: Annotated[
        list[str],
        typer.Argument(help="Parallel sentences: columns of a table, or a text file a language."),
    ],
    pivot: Annotated[str, typer.Option(help="The language that others are held against.")] = "en",
    pooling: Annotated[Pooling, typer.Option(help="Of the states of a layer.")] = Pooling.wmean,
    sentences: Annotated[int, typer.Option(min=2, help="Read at most so many.")] = 100,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    whole: Annotated[str, typer.Option("--json", help="File for all that was measured.")] = "",
) -> None:
    """Score how well a model's layers find a sentence by its translation."""
    import json

    from operators.model import Model
    from operators.storage.uri import write_bytes
    from pipelines.mexa import aligned, told

    found = aligned(Model(model), files, pivot, pooling.value, sentences, device)
    for line in told(found):
        print(line)
    if whole:
        write_bytes(whole, (json.dumps(found.to_json(), indent=2) + "\n").encode())
