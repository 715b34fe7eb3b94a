"""`corpusmill table ...`: look into a table, check it, take it back, clean it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True)

Uri = Annotated[str, typer.Argument(help="Folder or s3:// URI of a table.")]
Version = Annotated[int, typer.Option("--version", help="A version; -1 is the newest.")]


@app.command()
def show(
    uri: Uri,
    version: Version = -1,
    whole: Annotated[bool, typer.Option("--json", help="All that the commit recorded.")] = False,
) -> None:
    """Version, rows, bytes, columns, and what the commit recorded of its run."""
    from operators.columns import notes
    from operators.storage.table import Table

    table = Table(uri)
    number = existing(uri, version)
    lineage = table.lineage(number)
    if whole:
        print(json.dumps(lineage, indent=2, sort_keys=True))
        return
    files = table.files(number)
    rows, size = sum(file.rows for file in files), sum(file.size for file in files)
    print(
        f"{uri}, version {number}: {rows:,} rows in {counted(len(files), 'file')}, {size:,} bytes"
    )
    for field in table.schema(number):
        said = notes(field)
        print(f"  {field.name:<16} {field.type}" + (f"  ({said})" if said else ""))
    for line in _story(lineage):
        print(line)


@app.command()
def files(uri: Uri, version: Version = -1) -> None:
    """The Parquet files of a version, for readers that know no Delta."""
    from operators.storage.table import Table

    table, number = Table(uri), existing(uri, version)
    if number != table.version():
        table.check_readable(number)
    for file in table.files(number):
        print(file.uri)


@app.command()
def history(uri: Uri) -> None:
    """Every version: when, what, how many rows, by which run."""
    from operators.storage.table import Table
    from pipelines.recorded import rows_held

    existing(uri, -1)
    for entry in Table(uri).history():
        when = datetime.fromtimestamp(entry.timestamp / 1000, UTC).isoformat(timespec="seconds")
        record = entry.lineage or {}
        counts = record.get("counts") or {}
        rows = rows_held(record) if counts else "?"
        run = record.get("run_key", "not ours")
        date = f"  for {record['date']}" if record.get("date") else ""
        print(f"{entry.version:>6}  {when}  {entry.operation:<14} {rows:>12} rows  {run}{date}")


@app.command()
def bad(
    uri: Uri,
    version: Version = -1,
    limit: Annotated[int, typer.Option(min=1, help="Rows shown at most.")] = 100,
) -> None:
    """Quarantined rows of the run that made a version: id, where it came from, why."""
    from operators.storage.parquet import read_shard
    from operators.storage.table import Table

    number = existing(uri, version)
    left = limit
    for path in (Table(uri).lineage(number) or {}).get("quarantine_files", ()):
        rows = read_shard(uri, path).to_pylist()
        for row in rows[:left]:
            print(f"{row['id']}\t{row['source_file']}:{row['source_row']}\t{row['error']}")
        left -= min(left, len(rows))
        if not left:
            break
    if left == limit:
        print(f"version {number} of {uri} has no quarantined row")


@app.command()
def verify(
    uri: Uri,
    rows: Annotated[int, typer.Option(min=1, help="Rows to encode again and compare.")] = 32,
) -> None:
    """Re-read everything: checksums, counts, schema, fingerprint, a re-encoded sample."""
    from pipelines.verify import verify_table

    for sentence in verify_table(uri, rows):
        print(sentence)


@app.command()
def audit(
    uri: Uri,
    version: Version = -1,
    examples: Annotated[int, typer.Option(min=0, max=50, help="Examples of each kind.")] = 50,
    whole: Annotated[bool, typer.Option("--json", help="All of it as JSON.")] = False,
) -> None:
    """Negatives: dropped by rule, kept by source and rank, false negatives, examples to read."""
    from pipelines.audit import audited, told

    number = existing(uri, version)
    found = audited(uri, number)
    if whole:
        print(json.dumps(found.to_json(), indent=2))
        return
    for line in told(uri, number, found, examples):
        print(line)


@app.command()
def rollback(
    uri: Uri, version: Annotated[int, typer.Argument(help="The version to bring back.")]
) -> None:
    """Make an older version's content the newest version; history stays."""
    from operators.errors import TableError
    from operators.storage.table import Table

    if existing(uri, version) == existing(uri, -1):
        raise TableError(uri, f"version {version} is the newest already; nothing to roll back")
    print(f"version {Table(uri).rollback(version)} holds what version {version} held")


@app.command()
def vacuum(
    uri: Uri,
    retention_hours: Annotated[
        float | None,
        typer.Option(min=0, help="Keep what is younger; the default is the table's own."),
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete; without it, only list.")
    ] = False,
    shorten: Annotated[
        bool, typer.Option("--shorten", help="Keep less than the table promises.")
    ] = False,
) -> None:
    """List or delete files that no readable version and no run in flight needs."""
    from operators.errors import PreflightError
    from operators.storage.history import versions_with
    from operators.storage.retention import retention_hours as promised
    from operators.storage.vacuum import vacuum as clean

    existing(uri, -1)
    own = promised(uri)
    kept = own if retention_hours is None else retention_hours
    gone = clean(uri, retention_hours=kept, dry_run=True)
    lost = versions(versions_with(uri, gone))
    if delete and kept < own and not shorten:
        problem = f"{uri} promises to keep replaced files for {own:g} hours, not {kept:g}"
        told = f"{lost} could no longer be read" if lost else "no version would be lost"
        raise PreflightError(f"{problem}; {told}; say --shorten to delete all the same")
    if delete:
        gone = clean(uri, retention_hours=kept, dry_run=False)
    for path in gone:
        print(path)
    if lost:
        print(f"{lost} can no longer be read" + ("" if delete else " then"))
    if delete:
        print(f"{counted(len(gone), 'file')} deleted")
    else:
        print(f"{counted(len(gone), 'file')} can go" + ("; --delete deletes them" if gone else ""))


def versions(numbers: list[int]) -> str:
    """Versions in words; empty for none."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    told = ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in runs)
    return told and f"{'version' if len(numbers) == 1 else 'versions'} {told}"


def counted(number: int, noun: str) -> str:
    """A number of things, in words."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _story(lineage: dict[str, Any] | None) -> Iterator[str]:
    """Where a version came from, in a few lines."""
    if lineage is None:
        yield "committed by something else than corpusmill"
        return
    from pipelines.verdict import gate_story

    counts = lineage.get("counts") or {}
    steps = [name for step in lineage.get("config", {}).get("steps", ()) for name in step]
    bad = ", ".join(f"{count} × {reason}" for reason, count in counts.get("bad", {}).items())
    kept = lineage.get("kept_rows", 0)
    told = {
        "made": f"{lineage.get('committed_at', '?')} by phase {lineage.get('phase', '?')}",
        "date": lineage.get("date") or "none",
        "source": lineage.get("source", "?"),
        "steps": " → ".join(steps) or "none",
        "models": _models(lineage) or "none",
        "recipe": lineage.get("recipe", "?"),
        "rows read": f"{counts.get('rows_in', 0):,}"
        + (f"; {kept:,} stay as they were" if kept else ""),
        "quarantined": f"{counts.get('quarantined', 0):,}" + (f" ({bad})" if bad else ""),
        "tokens": f"{counts.get('tokens', 0):,}, {counts.get('truncated', 0):,} rows truncated",
        "left out": "; ".join([*_left_out(counts), *counts.get("bad_units", {}).values()])
        or "nothing",
        "seconds": _seconds(counts) or "none",
        **gate_story(lineage),
    }
    if erased := lineage.get("erased"):
        told["erased"] = f"{counted(erased['rows'], 'row')} of it, the last at {erased['at']}"
    for name, value in told.items():
        yield f"{name + ':':<18} {value}"


def _models(lineage: dict[str, Any]) -> str:
    each = lineage.get("models", {}).items()
    return ", ".join(f"{path} at {revision}" if revision else path for path, revision in each)


def _seconds(counts: dict[str, Any]) -> str:
    """Of each step, over all workers."""
    return ", ".join(f"{name} {took:,.1f}" for name, took in counts.get("seconds", {}).items())


def _left_out(counts: dict[str, Any]) -> list[str]:
    from operators.contract import LEFT_OUT

    return [
        f"{count:,} × {reason.removeprefix(f'{LEFT_OUT}, ')}"
        for reason, count in counts.get("left_out", {}).items()
    ]


def existing(uri: str, version: int) -> int:
    """The version asked for; TableError when the table or the version is not there."""
    from operators.errors import SourceError, TableError
    from operators.storage.table import Table
    from operators.storage.uri import names_in

    try:
        if names_in(uri) is None:
            raise TableError(uri, "it is a file; a table is a folder")
    except SourceError as error:
        raise TableError(uri, error.problem) from error
    newest = Table(uri).version()
    if newest < 0:
        raise TableError(uri, "there is no table here")
    if version > newest:
        raise TableError(uri, f"it has no version {version}; the newest is {newest}")
    return newest if version < 0 else version
