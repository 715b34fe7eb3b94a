"""`corpusmill export`: a table of negatives or triples as the training files of another library."""

from typing import Annotated

import typer

Uri = Annotated[str, typer.Argument(help="Folder or s3:// URI of a negatives or triples table.")]
Version = Annotated[int, typer.Option("--version", help="A version; -1 is the newest.")]


def export(
    uri: Uri,
    format: Annotated[  # noqa: A002 - the name of the option
        str,
        typer.Option(
            help="triplet, n-tuple, n-tuple-scores, labeled-pair, labeled-list, flagembedding, "
            "tevatron or pylate."
        ),
    ],
    out: Annotated[str, typer.Option(help="A new folder; written whole or not at all.")],
    version: Version = -1,
    labels: Annotated[
        str,
        typer.Option(
            help="none, binary, scores, targets or log-targets; each format has its own default."
        ),
    ] = "",
    negatives: Annotated[
        int, typer.Option(min=0, help="Negatives a row; 0 is all, or what keeps the most texts.")
    ] = 0,
) -> None:
    """Write a table's texts as training files: sentence-transformers, FlagEmbedding, and others."""
    from operators.beside import Beside, pinned
    from operators.distil.examples import LABELS
    from operators.distil.export import Wanted
    from operators.distil.export import export as write
    from operators.distil.formats import FORMATS
    from operators.errors import ConfigError
    from pipelines.mistakes import did_you_mean

    mistakes = [
        f"--{option}: no {option} {value!r}{did_you_mean(value, known)}"
        for option, value, known in (("format", format, FORMATS), ("labels", labels, ("", *LABELS)))
        if value not in known
    ]
    if mistakes:
        raise ConfigError(tuple(mistakes))
    table = pinned(Beside(uri=uri, version=version), {})
    done = write(table, Wanted(format, labels, negatives), out)
    width = f", {done.negatives} negatives each" if done.negatives else ""
    print(
        f"{out}: {done.written:,} rows of {done.examples:,} examples{width}, labels {done.labels}"
    )
    if done.skipped:
        print(f"{done.skipped:,} examples left out: too few negatives, or no finite label")
