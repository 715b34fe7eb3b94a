"""The Delta log as we read it: handles, single entries, and the lineage they carry."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from operators.errors import SourceError, TableError
from operators.storage import uri as store
from operators.storage.bulk import options
from operators.storage.refusals import told

APP = "corpusmill"
"""Our key in a log entry's commitInfo, and the application id of its transaction."""
_ENTRY = re.compile(r"\d{20}\.json")
_CHECKPOINT = re.compile(r"\d{20}\.checkpoint\.(.+\.)?parquet")
_BROKEN = "error reading a body from connection"
"""In the words of deltalake's client, which repeats a request but not one whose answer broke."""
_PAUSES = (0.2, 1.0, 5.0)
"""Seconds before each repetition."""

_REWRITE = "write its rows to another table, or have its writer purge them"

_PLAIN = frozenset({"timestampNtz", "vacuumProtocolCheck"})
"""Features of a Delta table that leave its rows what its files hold."""


@dataclass(frozen=True)
class Entry:
    """One log entry: who wrote it and which files it added (path -> bytes)."""

    version: int
    operation: str
    restored: int | None
    """Version that a RESTORE brought back."""
    ours: dict[str, Any] | None
    """What we recorded: `lineage`, and `restored` for a rollback."""
    adds: dict[str, int]
    changes: bool = False
    """Whether rows came or went with it; files that hold the same rows in another order do not."""


def handle(uri: str, version: int | None = None) -> DeltaTable:
    """Deltalake's handle on a version; TableError when the table or the version is not there."""
    with explained(uri):
        try:
            return _opened(uri, version)
        except DeltaError as error:
            newest = newest_version(uri)
            if newest < 0:
                raise TableError(uri, "there is no table here") from error
            if version is None or oldest_version(uri) <= version <= newest:
                raise
            problem = f"there is no version {version}; the newest is {newest}"
            if version < newest:
                problem = f"version {version} can no longer be read: the log begins at version"
                problem += f" {oldest_version(uri)}"
            raise TableError(uri, problem) from error


def newest_version(uri: str) -> int:
    """The newest version, -1 when there is no table."""
    with explained(uri):
        try:
            return _opened(uri).version()
        except TableNotFoundError:
            return -1


def check_plain(uri: str) -> None:
    """TableError for a table whose rows are not just those of its files, as other writers make."""
    delta = handle(uri)
    with explained(uri):
        protocol, partitions = delta.protocol(), delta.metadata().partition_columns
    features = set(protocol.reader_features or ()) - _PLAIN
    if protocol.min_reader_version == 2:
        features.add("column mapping")
    if partitions or features:
        found = f"partitions ({', '.join(partitions)})" if partitions else ", ".join(features)
        problem = "only tables of plain files can be compared or erased from"
        raise TableError(uri, f"it has {found}; {problem}")


def check_rows(uri: str, version: int) -> None:
    """TableError for a version whose rows are not all that its files hold, or are named otherwise.

    Partitions are allowed: whoever reads files by column notices that one is missing.
    """
    delta = handle(uri, version)
    with explained(uri):
        features, settings = delta.protocol().reader_features, delta.metadata().configuration
        deleted = "deletionVectors" in (features or ()) and any(
            batch.num_rows for batch in delta.deletion_vectors()
        )
    renamed = settings.get("delta.columnMapping.mode", "none") != "none"
    if deleted or renamed:
        found = "rows that its files still hold are deleted (deletion vectors)"
        found = found if deleted else "its columns have other names in its files (column mapping)"
        raise TableError(uri, f"version {version} cannot be read: {found}; {_REWRITE}")


def entry_versions(uri: str) -> list[int]:
    """The versions whose log entry is still there, ascending."""
    return sorted(int(name[:20]) for name in _names(uri) if _ENTRY.fullmatch(name))


def oldest_version(uri: str) -> int:
    """The oldest version that the log still reaches; -1 when there is no table."""
    entries = entry_versions(uri)
    if entries[:1] == [0]:
        return 0
    return min((int(n[:20]) for n in _names(uri) if _CHECKPOINT.fullmatch(n)), default=-1)


def read_entry(uri: str, version: int) -> Entry | None:
    """The log entry of a version; None when it is not there (never written, or cleaned up)."""
    path = store.join(uri, "_delta_log", f"{version:020d}.json")
    try:
        if store.size_of(path) is None:
            return None
        actions = [json.loads(line) for line in store.read_bytes(path).splitlines() if line]
    except SourceError as error:
        raise TableError(uri, error.problem) from error
    info: dict[str, Any] = next((a["commitInfo"] for a in actions if "commitInfo" in a), {})
    adds = {a["add"]["path"]: int(a["add"]["size"]) for a in actions if "add" in a}
    files = [a[kind] for a in actions for kind in ("add", "remove") if kind in a]
    changes = any(file.get("dataChange", True) for file in files)
    operation = info.get("operation", "")
    return Entry(version, operation, restored_by(info), recorded(info), adds, changes)


def recorded(info: dict[str, Any]) -> dict[str, Any] | None:
    """Our record in a commitInfo, None for a commit of another writer."""
    found = info.get(APP)
    if not isinstance(found, str):
        return None
    record: dict[str, Any] = json.loads(found)
    return record


def restored_by(info: dict[str, Any]) -> int | None:
    """The version that a RESTORE commit brought back, None for another operation."""
    if info.get("operation") != "RESTORE":
        return None
    target = info.get("operationParameters", {}).get("version")
    return None if target is None else int(target)


def lineage_at(uri: str, version: int) -> dict[str, Any] | None:
    """What the commit that made the content of `version` recorded, as far as the log reaches.

    A RESTORE points to the version it brought back; commits of other writers that only
    rearrange (OPTIMIZE, VACUUM) point to the one before. None where another writer changed rows.
    """
    while version >= 0 and (entry := read_entry(uri, version)) is not None:
        if entry.ours is not None and "lineage" in entry.ours:
            found: dict[str, Any] | None = entry.ours["lineage"]
            return found
        if entry.restored is None and entry.changes:
            return None
        version = version - 1 if entry.restored is None else entry.restored
    return None


def _opened(uri: str, version: int | None = None) -> DeltaTable:
    """Deltalake's own table; what broke on the way to us is asked again, as its client does not."""
    for pause in _PAUSES:
        try:
            return DeltaTable(uri, version=version, storage_options=options(uri))
        except DeltaError as error:
            if _BROKEN not in str(error):
                raise
            time.sleep(pause)
    return DeltaTable(uri, version=version, storage_options=options(uri))


def _names(uri: str) -> list[str]:
    try:
        return store.list_names(store.join(uri, "_delta_log"))
    except SourceError as error:
        raise TableError(uri, error.problem) from error


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn deltalake's errors into TableError with one sentence and without secrets."""
    try:
        yield
    except (DeltaError, OSError) as error:
        raise TableError(uri, told(error) or type(error).__name__) from error
