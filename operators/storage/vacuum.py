"""What may go: files no readable version needs and no run in flight may still commit."""

import time
from collections.abc import Iterator
from typing import Any

from operators.errors import SourceError, TableError
from operators.storage import bulk, log
from operators.storage import uri as store
from operators.storage.history import entries, live
from operators.storage.receipts import RUNS, RunFolder, runs

SOURCES = "_corpusmill/sources"
"""What scheduled runs saw of their sources; a commit names its own."""
COMMITTED = "committed"
"""The registry status of a run that needs its folder no more; others keep it until it is old."""
RUNNING = "running"
_DEAD_HOURS = 24
"""A run that has not ended and leaves nothing for so long is taken for dead, never sooner."""


def vacuum(uri: str, *, retention_hours: float, dry_run: bool) -> list[str]:
    """Delete what is no longer needed and return it, relative to the table; `dry_run` only looks.

    Goes: data files whose removal is older than the retention (Delta's own list); files in
    `data/` that the log never named, and the bookkeeping and quarantine of runs that are
    committed or that nothing has touched for longer than the retention; old lists of source files
    that no readable version names. Stays: everything of a run in flight, of the newest version,
    and of a version that left within the retention.
    """
    before = time.time() - retention_hours * 3600
    try:
        return _vacuum(uri, retention_hours, before, dry_run=dry_run)
    except SourceError as error:
        raise TableError(error.uri, error.problem) from error


def _vacuum(uri: str, retention_hours: float, before: float, *, dry_run: bool) -> list[str]:
    ended = {run: _has_ended(RunFolder(uri, run), before) for run in runs(uri)}
    aside = _abandoned(uri, "_quarantine", ended, before)
    if all(ended.values()):
        aside |= {path for path, touched in _files(uri, SOURCES) if touched < before}
    removed, orphans = _removed_files(uri, retention_hours), _abandoned(uri, "data", ended, before)
    going = _unneeded(uri, before, removed, orphans, aside)
    for run in (run for run, over in ended.items() if over):
        going |= {path for path, _ in _files(uri, f"{RUNS}/{run}")}
    if not dry_run:
        bulk.delete([store.join(uri, path) for path in going])
        for folder in ("data", "_quarantine", RUNS, SOURCES):
            store.prune(store.join(uri, folder))
    return sorted(going)


def _removed_files(uri: str, retention_hours: float) -> set[str]:
    """Delta's own list of files whose removal is old.

    It is only listed: Delta's deletion commits two versions, and a run in flight would conflict.
    """
    if log.newest_version(uri) < 0:
        return set()
    with log.explained(uri):
        found = log.handle(uri).vacuum(
            int(retention_hours), dry_run=True, enforce_retention_duration=False, full=False
        )
    return set(found)


def _unneeded(
    uri: str, before: float, removed: set[str], orphans: set[str], aside: set[str]
) -> set[str]:
    """What of these may go, for all that the log says; it is read entry by entry.

    `removed` stay that were restored and removed again since `before`, `orphans` that were ever in
    the table (the others are of attempts that lost and runs that were given up), and `aside` that
    a version names which was readable since then.
    """
    left: dict[str, Any] = {}
    for _, actions in entries(uri):
        removals = [action["remove"] for action in actions if "remove" in action]
        removed -= {r["path"] for r in removals if r.get("deletionTimestamp", 0) / 1000 > before}
        orphans -= {r["path"] for r in removals}
        orphans -= {action["add"]["path"] for action in actions if "add" in action}
        info: dict[str, Any] = next((a["commitInfo"] for a in actions if "commitInfo" in a), {})
        if info.get("timestamp", 0) / 1000 > before:
            aside -= set(_texts(log.recorded(left)))
        left = info
    aside -= set(_texts([log.recorded(left), log.lineage_at(uri, log.newest_version(uri))]))
    return ((removed | orphans) - live(uri)) | aside


def _texts(value: object) -> Iterator[str]:
    """Every text in a JSON value: a version's lineage names its side files."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _abandoned(uri: str, folder: str, ended: dict[str, bool], before: float) -> set[str]:
    """Files under `<folder>/<run>/` whose run has ended, or is unknown and the file is old."""
    files = [(path, age, path.split("/")[1]) for path, age in _files(uri, folder)]
    return {path for path, touched, run in files if ended.get(run, touched < before)}


def _has_ended(folder: RunFolder, before: float) -> bool:
    status = (folder.entry() or {}).get("status")
    touched = max((at for _, at in store.list_ages(folder.uri, deep=True)), default=0.0)
    if status == RUNNING:
        before = min(before, time.time() - _DEAD_HOURS * 3600)
    return status == COMMITTED or touched < before


def _files(uri: str, folder: str) -> list[tuple[str, float]]:
    """(path relative to the table, modification time) of all files in a folder of it."""
    found = store.list_ages(store.join(uri, folder), deep=True)
    return [(f"{folder}/{name}", touched) for name, touched in found]
