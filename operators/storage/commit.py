"""The steps of a commit: look at the staged files, write one log entry, read it back (§4b)."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import (
    AddAction,
    CommitProperties,
    RemoveAction,
    Transaction,
    create_table_with_add_actions,
)

from operators.errors import ConflictError, SourceError, TableError
from operators.storage import bulk, log
from operators.storage import uri as store
from operators.storage.parquet import Shard
from operators.storage.stored import stored

_FORGOTTEN = "No files in log segment"
"""What deltalake says when the first log entry, which it has just written, is not there."""


@dataclass(frozen=True)
class Change:
    """What a commit does to its parent version (-1: there is no table yet)."""

    parent: int
    schema: pa.Schema
    added: tuple[Shard, ...]
    removed: tuple[str, ...]
    """Paths of the parent that leave; the others stay, untouched by the log entry."""
    keeps: bool
    """Whether any file of the parent stays."""


def check_staged(uri: str, shards: tuple[Shard, ...]) -> None:
    """TableError naming the first staged file that is missing or unlike its receipt in size."""
    try:
        sizes = bulk.sizes_of([store.join(uri, shard.path) for shard in shards])
    except SourceError as error:
        raise TableError(error.uri, error.problem) from error
    for shard, size in zip(shards, sizes, strict=True):
        if size != shard.size:
            found = "is missing" if size is None else f"has {size} bytes"
            expected = f"its receipt says {shard.size} bytes; nothing was committed"
            raise TableError(uri, f"staged file {shard.path} {found}, {expected}")


def submit(
    uri: str, change: Change, record: dict[str, Any], configuration: Mapping[str, str]
) -> None:
    """Write the log entry after the parent, or raise deltalake's error when that entry exists."""
    properties = properties_of(record, change.parent + 1)
    schema = Schema.from_arrow(stored(change.schema))
    adds = [_add(shard) for shard in change.added]
    if change.parent < 0:
        if store.is_local(uri):
            Path(store.absolute(uri)).mkdir(parents=True, exist_ok=True)
        create_table_with_add_actions(
            uri,
            schema,
            adds,
            mode="error",
            configuration=configuration,
            storage_options=bulk.options(uri),
            commit_properties=properties,
        )
        return
    parent = log.handle(uri, change.parent)
    if not change.keeps:
        parent.create_write_transaction([*adds], "overwrite", schema, commit_properties=properties)
        return
    _check_same_schema(uri, parent, schema)
    # "overwrite" would add and remove a kept file in one entry, which the format forbids
    removes = [_remove(path) for path in change.removed]
    parent.create_write_transaction(
        [*adds, *removes], "append", schema, commit_properties=properties
    )


def properties_of(record: dict[str, Any], version: int) -> CommitProperties:
    """Commit properties that refuse to land anywhere but at `version`."""
    return CommitProperties(
        custom_metadata={log.APP: json.dumps(record, sort_keys=True)},
        max_commit_retries=0,
        app_transactions=[Transaction(log.APP, version)],
    )


def check_written(uri: str, change: Change, run_key: str) -> None:
    """Compare the log entry with what was sent, so that another run's never passes for ours.

    TableError when it is not there, ConflictError when it is another's: the store told two
    writers that they had won.
    """
    version = change.parent + 1
    entry = log.read_entry(uri, version)
    if entry is None:
        raise TableError(uri, _not_there(version))
    if run_key_of(entry) != run_key or entry.adds != {s.path: s.size for s in change.added}:
        problem = f"version {version} is another run's, although the store accepted ours"
        raise ConflictError(uri, f"{problem}; it does not honour conditional writes")


def landed(uri: str, parent: int, newest: int, run_key: str) -> int | None:
    """The version after `parent` that carries our run key, None when there is none."""
    for version in range(parent + 1, newest + 1):
        entry = log.read_entry(uri, version)
        if entry is not None and run_key_of(entry) == run_key:
            return version
    return None


def run_key_of(entry: log.Entry) -> str | None:
    """The key of the run that wrote an entry; None for a rollback and for other writers."""
    if entry.ours is None or "restored" in entry.ours:
        return None
    key: str | None = (entry.ours.get("lineage") or {}).get("run_key")
    return key


def explain_refusal(uri: str, parent: int, run_key: str, error: DeltaError) -> int:
    """Our own version when the refused commit had landed after all; else the error to raise."""
    newest = log.newest_version(uri)
    version = landed(uri, parent, newest, run_key)
    if version is not None:
        return version
    if newest <= parent and _FORGOTTEN in str(error):
        raise TableError(uri, _not_there(parent + 1)) from error
    if newest > parent or isinstance(error, CommitFailedError):
        problem = f"another run committed version {parent + 1} first; nothing was committed"
        raise ConflictError(uri, problem) from error
    with log.explained(uri):
        raise error


def _not_there(version: int) -> str:
    return f"the store accepted the commit of version {version} but does not have it"


def _check_same_schema(uri: str, parent: DeltaTable, schema: Schema) -> None:
    if json.loads(parent.schema().to_json()) != json.loads(schema.to_json()):
        raise TableError(uri, "files of the parent version cannot stay when the schema changes")


def _add(shard: Shard) -> AddAction:
    stats = json.dumps({"numRecords": shard.rows})
    return AddAction(shard.path, shard.size, {}, _now(), True, stats)


def _remove(path: str) -> RemoveAction:
    return RemoveAction(path, True, _now(), None, {})


def _now() -> int:
    return int(time.time() * 1000)
