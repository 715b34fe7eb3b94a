"""`corpusmill table diff` and `erase`: what changed between versions, what must be forgotten."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.cli_table import Uri, counted, existing, versions

if TYPE_CHECKING:
    from pipelines.erase import Erasure
    from pipelines.feed import Feed

Before = Annotated[str, typer.Argument(help="The older version, or `empty` for no row at all.")]
After = Annotated[int, typer.Argument(help="The newer version; the newest unless named.")]


def diff(
    uri: Uri,
    before: Before,
    after: After = -1,
    out: Annotated[
        str, typer.Option(help="A new folder or s3:// prefix for upserts, deletes and a manifest.")
    ] = "",
) -> None:
    """Ids added, changed and deleted between two versions; with --out, a feed of their rows."""
    from operators.errors import ConfigError
    from pipelines.feed import EMPTY, feed

    if before != "empty" and not before.isdecimal():
        raise ConfigError((f"{before}: a version is a number, or `empty` for no row at all",))
    first = EMPTY if before == "empty" else existing(uri, int(before))
    found = feed(uri, first, existing(uri, after), out)
    for line in _told(found, before):
        print(line)
    if out:
        print(f"{out}: upserts, deletes and manifest.json")


def erase(
    uri: Uri,
    ids: Annotated[str, typer.Option(help="A text file with one id a line.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    also: Annotated[
        list[str] | None, typer.Option(help="Another column whose rows go with an id.")
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="A column in which an equal value is no id.")
    ] = None,
) -> None:
    """Remove rows for good: from the newest version, from history, from every side file."""
    from pipelines.erase import Request, plan_erasure, prove
    from pipelines.erase import erase as forget

    existing(uri, -1)
    wanted = _ids_in(ids)
    planned = plan_erasure(Request(uri, wanted, frozenset(also or ()), frozenset(ignore or ())))
    for line in _consequences(planned):
        print(line)
    if not planned.nothing:
        _confirm(uri, yes=yes)
        version = forget(planned)
        print(f"version {version} of {uri}: {counted(planned.rows, 'row')} erased")
    proof = prove(planned)
    print(
        f"searched {proof.parquet:,} Parquet files ({proof.columns:,} columns) and {proof.json:,} "
        f"JSON files: none holds any of the ids; {proof.others:,} other files are no tables or text"
    )
    if not planned.nothing:
        print("a source that still holds them brings them back when a run reads it again")


def _consequences(planned: "Erasure") -> list[str]:
    lines = []
    if planned.unknown:
        named = len(planned.request.ids)
        lines.append(f"ids that are in no table of rows here: {planned.unknown:,} of {named:,}")
    if planned.nothing:
        return [*lines, "nothing to erase"]
    written = len(planned.affected) + len(planned.quarantines)
    lines.append(
        f"{counted(planned.rows, 'row')} of version {planned.version} "
        f"{'goes' if planned.rows == 1 else 'go'}; "
        f"{counted(written, 'file')} {'is' if written == 1 else 'are'} written without what is "
        f"erased, {counted(len(planned.doomed), 'file')} "
        f"{'is' if len(planned.doomed) == 1 else 'are'} deleted"
    )
    if planned.lost:
        lines.append(f"{versions(list(planned.lost))} can no longer be read then")
    if planned.cuts_log:
        lines.append("the log itself may tell of them, so history begins anew")
    return lines


def _confirm(uri: str, *, yes: bool) -> None:
    from operators.errors import PreflightError

    if yes:
        return
    if not sys.stdin.isatty():
        raise PreflightError(f"erasing from {uri} cannot be taken back; say --yes to do it")
    if not typer.confirm("This cannot be taken back. Erase?"):
        raise PreflightError(f"nothing was erased from {uri}: not confirmed")


def _ids_in(file: str) -> tuple[str, ...]:
    """The lines of a file that are not blank; ConfigError where there is none, or no text."""
    from operators.errors import ConfigError, SourceError
    from operators.storage.uri import absolute, read_bytes

    try:
        text = read_bytes(absolute(file)).decode("utf-8-sig")
    except SourceError as error:
        raise ConfigError((f"--ids {file}: {error.problem}",)) from error
    except UnicodeDecodeError as error:
        raise ConfigError((f"--ids {file}: not a text file in UTF-8",)) from error
    lines = (line.removesuffix("\r") for line in text.split("\n"))  # an id may hold U+2028
    found = tuple(dict.fromkeys(line for line in lines if line.strip()))
    if not found:
        raise ConfigError((f"--ids {file}: it holds no id; one a line would be right",))
    return found


def _told(found: "Feed", before: str) -> list[str]:
    since = "nothing" if before == "empty" else f"version {before}"
    counts = f"{found.added:,} added, {found.changed:,} changed, {found.deleted:,} deleted"
    files = counted(found.files_read, "file")
    lines = [f"{found.table}, from {since} to version {found.after}: {counts}, in {files}"]
    for kind, ids in found.first.items():
        if ids:
            more = " …" if getattr(found, kind) > len(ids) else ""
            lines.append(f"{kind + ':':<10} {', '.join(ids)}{more}")
    return lines
