"""`corpusmill table ...`: look into a table, check it, take it back, clean it."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)

Uri = Annotated[str, typer.Argument(help="Folder or s3:// URI of a table.")]
Version = Annotated[int, typer.Option("--version", help="A version; -1 is the newest.")]


@app.command()
def show(uri: Uri, version: Version = -1) -> None:
    """Version, rows, bytes, columns, and what the commit recorded of its run."""
    from operators.storage.table import Table

    table = Table(uri)
    number = _existing(uri, version)
    files = table.files(number)
    print(f"{uri} version {number}")
    print(
        f"{sum(f.rows for f in files):,} rows in {len(files)} files, "
        f"{sum(f.size for f in files):,} bytes"
    )
    for field in table.schema(number):
        notes = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
        print(f"  {field.name}: {field.type}" + (f"  {notes}" if notes else ""))
    print(json.dumps(table.lineage(number), indent=2, sort_keys=True))


@app.command()
def files(uri: Uri, version: Version = -1) -> None:
    """The Parquet files of a version, for readers that know no Delta."""
    from operators.storage.table import Table

    for file in Table(uri).files(_existing(uri, version)):
        print(file.uri)


@app.command()
def history(uri: Uri) -> None:
    """Every version: when, what, how many rows, by which run."""
    from operators.storage.table import Table

    _existing(uri, -1)
    for entry in Table(uri).history():
        when = datetime.fromtimestamp(entry.timestamp / 1000, UTC).isoformat(timespec="seconds")
        record = entry.lineage or {}
        rows = (record.get("counts") or {}).get("rows_out", "?")
        run = record.get("run_key", "not ours")
        print(f"{entry.version:>6}  {when}  {entry.operation:<14} {rows:>12} rows  {run}")


@app.command()
def verify(
    uri: Uri,
    rows: Annotated[int, typer.Option(help="Rows to encode again and compare.")] = 32,
) -> None:
    """Re-read everything: checksums, counts, schema, fingerprint, a re-encoded sample."""
    from pipelines.verify import verify_table

    for sentence in verify_table(uri, rows):
        print(sentence)


@app.command()
def rollback(
    uri: Uri, version: Annotated[int, typer.Argument(help="The version to bring back.")]
) -> None:
    """Make an older version's content the newest version; history stays."""
    from operators.storage.table import Table

    _existing(uri, version)
    print(f"version {Table(uri).rollback(version)} holds what version {version} held")


@app.command()
def vacuum(
    uri: Uri,
    retention_hours: Annotated[int, typer.Option(help="Keep what is younger.")] = 24 * 30,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete; without it, only list.")
    ] = False,
) -> None:
    """List or delete files that no readable version and no run in flight needs."""
    from operators.storage.vacuum import vacuum as clean

    _existing(uri, -1)
    for path in clean(uri, retention_hours=retention_hours, dry_run=not delete):
        print(path)


def _existing(uri: str, version: int) -> int:
    """The version asked for; TableError when the table or the version is not there."""
    from operators.errors import TableError
    from operators.storage.table import Table

    newest = Table(uri).version()
    if newest < 0:
        raise TableError(uri, "there is no table here")
    if version > newest:
        raise TableError(uri, f"has no version {version}; the newest is {newest}")
    return newest if version < 0 else version
