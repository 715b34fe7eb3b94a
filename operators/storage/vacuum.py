"""What may go: files no readable version needs and no run in flight may still commit."""

import json
import re
import time
from typing import Any

import pyarrow as pa

from operators.errors import SourceError, TableError
from operators.storage import bulk, log
from operators.storage import uri as store
from operators.storage.receipts import RUNS, RunFolder, runs

Actions = list[list[dict[str, Any]]]
_ENTRY = re.compile(r"\d{20}\.json")
COMMITTED = "committed"
"""The registry status of a run that needs its folder no more; others keep it until it is old."""


def vacuum(uri: str, *, retention_hours: float, dry_run: bool) -> list[str]:
    """Delete what is no longer needed and return it, relative to the table; `dry_run` only looks.

    Goes: data files whose removal is older than the retention (Delta's own list); files in
    `data/` that the log never named, and the bookkeeping and quarantine of runs that are
    committed or that nothing has touched for longer than the retention. Stays: everything of a
    run in flight, of the newest version, and of a version that left within the retention.
    """
    before = time.time() - retention_hours * 3600
    try:
        return _vacuum(uri, retention_hours, before, dry_run=dry_run)
    except SourceError as error:
        raise TableError(error.uri, error.problem) from error


def _vacuum(uri: str, retention_hours: float, before: float, *, dry_run: bool) -> list[str]:
    actions = _log_actions(uri)
    ended = {run: _has_ended(RunFolder(uri, run), before) for run in runs(uri)}
    going = {
        *_removed_files(uri, actions, retention_hours, before),
        *_orphans(uri, actions, ended, before),
        *_quarantine(uri, actions, ended, before),
    }
    for run in (run for run, over in ended.items() if over):
        going |= {path for path, _ in _files(uri, f"{RUNS}/{run}")}
    if not dry_run:
        bulk.delete([store.join(uri, path) for path in going])
        for folder in ("data", "_quarantine", RUNS):
            store.prune(store.join(uri, folder))
    return sorted(going)


def _log_actions(uri: str) -> Actions:
    """The actions of every log entry that is left, oldest entry first."""
    folder = store.join(uri, "_delta_log")
    names = [name for name in store.list_names(folder) if _ENTRY.fullmatch(name)]
    entries = bulk.read_many([store.join(folder, name) for name in names])
    return [[json.loads(line) for line in entry.splitlines() if line] for entry in entries]


def _live(uri: str) -> set[str]:
    if log.newest_version(uri) < 0:
        return set()
    with log.explained(uri):
        adds = pa.table(log.handle(uri).get_add_actions(flatten=True))
    return set(adds["path"].to_numpy(zero_copy_only=False))


def _removed_files(uri: str, actions: Actions, retention_hours: float, before: float) -> set[str]:
    """Delta's own list, without what was restored and removed again within the retention.

    It is only listed: Delta's deletion commits two versions, and a run in flight would conflict.
    """
    if log.newest_version(uri) < 0:
        return set()
    with log.explained(uri):
        found = log.handle(uri).vacuum(
            int(retention_hours), dry_run=True, enforce_retention_duration=False, full=False
        )
    removals = [a["remove"] for entry in actions for a in entry if "remove" in a]
    recent = {r["path"] for r in removals if r.get("deletionTimestamp", 0) / 1000 > before}
    return set(found) - recent - _live(uri)


def _orphans(uri: str, actions: Actions, ended: dict[str, bool], before: float) -> set[str]:
    """Shards that the log never named: attempts that lost, runs that were given up."""
    named = {a[kind]["path"] for e in actions for a in e for kind in ("add", "remove") if kind in a}
    named |= _live(uri)
    return {path for path in _abandoned(uri, "data", ended, before) if path not in named}


def _quarantine(uri: str, actions: Actions, ended: dict[str, bool], before: float) -> set[str]:
    """Quarantine files that no readable version's lineage names."""
    infos: list[dict[str, Any]] = [
        next((a["commitInfo"] for a in e if "commitInfo" in a), {}) for e in actions
    ]
    left = [info.get("timestamp", 0) / 1000 for info in infos[1:]] + [float("inf")]
    readable = [info.get(log.APP, "") for info, at in zip(infos, left, strict=False) if at > before]
    newest = log.newest_version(uri)
    named = json.dumps([readable, log.lineage_at(uri, newest)])
    return {path for path in _abandoned(uri, "_quarantine", ended, before) if path not in named}


def _abandoned(uri: str, folder: str, ended: dict[str, bool], before: float) -> set[str]:
    """Files under `<folder>/<run>/` whose run has ended, or is unknown and the file is old."""
    files = [(path, age, path.split("/")[1]) for path, age in _files(uri, folder)]
    return {path for path, touched, run in files if ended.get(run, touched < before)}


def _has_ended(folder: RunFolder, before: float) -> bool:
    status = (folder.entry() or {}).get("status")
    touched = [at for _, at in store.list_ages(folder.uri, deep=True)]
    return status == COMMITTED or max(touched, default=0.0) < before


def _files(uri: str, folder: str) -> list[tuple[str, float]]:
    """(path relative to the table, modification time) of all files in a folder of it."""
    found = store.list_ages(store.join(uri, folder), deep=True)
    return [(f"{folder}/{name}", touched) for name, touched in found]
