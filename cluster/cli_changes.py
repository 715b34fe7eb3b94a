"""`corpusmill table diff` and `erase`: what changed between versions, what must be forgotten."""

from typing import TYPE_CHECKING, Annotated

import typer

from cluster.cli_table import Uri, existing

if TYPE_CHECKING:
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


def _told(found: "Feed", before: str) -> list[str]:
    since = "nothing" if before == "empty" else f"version {before}"
    counts = f"{found.added:,} added, {found.changed:,} changed, {found.deleted:,} deleted"
    files = "1 file" if found.files_read == 1 else f"{found.files_read:,} files"
    lines = [f"{found.table}, from {since} to version {found.after}: {counts}, in {files}"]
    for kind, ids in found.first.items():
        if ids:
            more = " …" if getattr(found, kind) > len(ids) else ""
            lines.append(f"{kind + ':':<10} {', '.join(ids)}{more}")
    return lines
