"""The versions behind the newest: what each holds, whether it is whole, where history begins."""

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa

from operators.errors import TableError
from operators.storage import bulk, log
from operators.storage import uri as store

Actions = list[dict[str, Any]]
_VERSIONED = re.compile(r"(\d{20})\.")
_AT_ONCE = bulk.PARALLEL
"""Entries in memory at once: the log grows with every commit until it is cleaned."""


def entries(uri: str) -> Iterator[tuple[int, Actions]]:
    """The actions of every log entry that is left, by version, the oldest first."""
    versions = log.entry_versions(uri)
    for start in range(0, len(versions), _AT_ONCE):
        some = versions[start : start + _AT_ONCE]
        names = [store.join(uri, "_delta_log", f"{version:020d}.json") for version in some]
        for version, entry in zip(some, bulk.read_many(names), strict=True):
            yield version, [json.loads(line) for line in entry.splitlines() if line]


def live(uri: str, version: int | None = None) -> frozenset[str]:
    """The data files of a version, by their paths in the table; none where there is no table."""
    if log.newest_version(uri) < 0:
        return frozenset()
    delta = log.handle(uri, version)
    with log.explained(uri):
        adds = pa.table(delta.get_add_actions(flatten=True))
    return frozenset(adds["path"].to_numpy(zero_copy_only=False))


def contents(uri: str) -> Iterator[tuple[int, frozenset[str]]]:
    """The data files of every version that the log still reaches, the oldest first."""
    oldest = log.oldest_version(uri)
    if oldest < 0:
        return
    held = live(uri, oldest)
    yield oldest, held
    for version, actions in entries(uri):
        if version > oldest:
            gone = {a["remove"]["path"] for a in actions if "remove" in a}
            come = {a["add"]["path"] for a in actions if "add" in a}
            held = (held - gone) | come
            yield version, held


def versions_with(uri: str, paths: Collection[str]) -> list[int]:
    """The versions that cannot be read without one of these files."""
    wanted = frozenset(paths)
    return [version for version, held in contents(uri) if held & wanted]


def check_whole(uri: str, version: int, paths: Collection[str], instead: str = "") -> None:
    """TableError when a file of that version is no longer on storage; `instead` says what to do."""
    named = sorted(paths)
    sizes = bulk.sizes_of([store.join(uri, path) for path in named])
    missing = [path for path, size in zip(named, sizes, strict=True) if size is None]
    if missing:
        raise TableError(
            uri,
            f"version {version} can no longer be read: vacuum or erase deleted {len(missing)} of "
            f"its files (the first: {missing[0]}); {instead or 'name a newer version'}",
        )


def begin_at(uri: str, version: int) -> None:
    """Let the log begin at the newest version: a checkpoint of it, and no older entry.

    Repeating it does no harm. TableError when `version` is not the newest.
    """
    if log.newest_version(uri) != version:
        problem = f"version {version} is no longer the newest; run the command again"
        raise TableError(uri, problem)
    with log.explained(uri):
        log.handle(uri, version).create_checkpoint()
    folder = store.join(uri, "_delta_log")
    older = [
        n for n in store.list_names(folder) if (m := _VERSIONED.match(n)) and int(m[1]) < version
    ]
    for name in sorted(older):  # ascending, so that a reader never finds a gap
        store.delete([store.join(folder, name)])
