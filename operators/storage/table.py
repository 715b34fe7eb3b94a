"""A Delta table: versions, lineage, rollback, and a commit that one run wins (DESIGN §4b)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from deltalake.exceptions import CommitFailedError, DeltaError

from operators.errors import ConflictError, SourceError, TableError
from operators.storage import log, retention
from operators.storage import uri as store
from operators.storage.commit import (
    Change,
    check_staged,
    check_written,
    explain_refusal,
    landed,
    properties_of,
    submit,
)
from operators.storage.history import check_whole, live
from operators.storage.parquet import Shard, read_shard
from operators.storage.stored import stored

LOG_RETENTION = "interval 365 days"
"""How long the history of a new table is kept."""
FILE_RETENTION = "interval 30 days"
"""How long a new table keeps the files of versions that are no longer the newest."""

_OURS = frozenset({"_delta_log", "_corpusmill", "_quarantine", "data"})


@dataclass(frozen=True)
class TableFile:
    """One data file of a version; `path` is relative to the table."""

    path: str
    uri: str
    size: int
    rows: int


@dataclass(frozen=True)
class Commit:
    """One entry of a table's history; `timestamp` is in epoch milliseconds."""

    version: int
    timestamp: int
    operation: str
    lineage: dict[str, Any] | None
    """What a run recorded; of a rollback, the record of the version it brought back."""


@dataclass(frozen=True)
class Table:
    """A Delta table at a URI; the retentions apply when its first commit creates it.

    `settle_retention` applies them later.
    """

    uri: str
    log_retention: str = LOG_RETENTION
    file_retention: str = FILE_RETENTION

    def version(self) -> int:
        """The newest version, -1 when there is no table."""
        return log.newest_version(self.uri)

    def check_writable(self) -> None:
        """TableError when the path holds something that is not a table (or is a file)."""
        try:
            names = store.names_in(self.uri)
        except SourceError as error:
            raise TableError(self.uri, error.problem) from error
        foreign = sorted(set(names or []) - _OURS)
        if names is None or (foreign and "_delta_log" not in names):
            found = "a file" if names is None else f"holds {', '.join(foreign[:3])}"
            raise TableError(self.uri, f"output path that is not a table: {found}")

    def schema(self, version: int | None = None) -> pa.Schema:
        """The Arrow schema of a version, field metadata included."""
        delta = log.handle(self.uri, version)
        with log.explained(self.uri):
            fields: Any = delta.schema().to_arrow()  # of another Arrow library, by its interface
            return stored(pa.schema(fields))

    def files(self, version: int | None = None) -> list[TableFile]:
        """The data files of a version, sorted by path."""
        delta = log.handle(self.uri, version)
        with log.explained(self.uri):
            adds = pa.table(delta.get_add_actions(flatten=True)).sort_by("path")
        columns = (adds["path"], adds["size_bytes"], adds["num_records"])
        rows = [*zip(*(column.to_numpy(zero_copy_only=False) for column in columns), strict=True)]
        if outside := next((path for path, _, _ in rows if store.leads_out(path)), None):
            raise TableError(self.uri, f"its log names a file that is not under it: {outside!r}")
        return [TableFile(p, store.join(self.uri, p), int(size), int(n)) for p, size, n in rows]

    def history(self) -> list[Commit]:
        """The commits that the log still holds, newest first."""
        delta = log.handle(self.uri)
        with log.explained(self.uri):
            entries = delta.history()
        return [
            Commit(
                entry["version"],
                entry["timestamp"],
                entry["operation"],
                (log.recorded(entry) or {}).get("lineage"),
            )
            for entry in entries
        ]

    def lineage(self, version: int | None = None) -> dict[str, Any] | None:
        """What the commit that made the content of a version recorded; follows rollbacks."""
        return log.lineage_at(self.uri, self.version() if version is None else version)

    def check_readable(self, version: int) -> None:
        """TableError when the log or storage no longer has all of a version."""
        check_whole(self.uri, version, live(self.uri, version))

    def check_rows(self, version: int) -> None:
        """TableError when the rows of a version are not those of its files, as we read them."""
        log.check_rows(self.uri, version)

    def settle_retention(self) -> bool:
        """Give a table that was created with other retentions those of this handle.

        Takes a version of its own; False when there is nothing to settle.
        """
        return retention.settle(self.uri, self._configuration())

    def read(
        self, columns: list[str] | None = None, version: int | None = None
    ) -> Iterator[pa.Table]:
        """The rows of a version, one table a data file, in the order of `files`."""
        for file in self.files(version):
            yield read_shard(self.uri, file.path, columns)

    def commit(
        self,
        parent: int,
        schema: pa.Schema,
        shards: Sequence[Shard],
        lineage: dict[str, Any],
        run_key: str,
    ) -> int:
        """Make `shards` the whole content of the version after `parent`; returns that version.

        Shards that `parent` already has stay as they are. Repeating a run key that landed after
        `parent` returns its version. ConflictError when another commit came first; TableError,
        with nothing committed, when a staged file is missing or has another size.
        """
        self.check_writable()
        newest = self.version()
        if newest > parent:
            return self._already_there(parent, newest, run_key)
        if newest < parent:
            raise TableError(self.uri, f"there is no version {parent} to build on")
        change = self._change(parent, schema, shards)
        check_staged(self.uri, change.added)
        record = {"lineage": {**lineage, "run_key": run_key}}
        try:
            submit(self.uri, change, record, self._configuration())
        except DeltaError as error:
            return explain_refusal(self.uri, parent, run_key, error)
        check_written(self.uri, change, run_key)
        return parent + 1

    def rollback(self, version: int) -> int:
        """Make an older version's content the newest version; the history stays."""
        newest = self.version()
        if not 0 <= version < newest:
            raise TableError(self.uri, f"cannot roll back from version {newest} to {version}")
        self.check_readable(version)
        record = {"restored": version, "lineage": self.lineage(version)}
        delta = log.handle(self.uri, newest)
        with log.explained(self.uri):
            try:
                delta.restore(version, commit_properties=properties_of(record, newest + 1))
            except CommitFailedError as error:
                problem = f"another commit came after version {newest}; nothing was rolled back"
                raise ConflictError(self.uri, problem) from error
        entry = log.read_entry(self.uri, newest + 1)
        if entry is None or entry.ours != record:
            raise ConflictError(self.uri, f"version {newest + 1} is not the rollback just written")
        return newest + 1

    def _change(self, parent: int, schema: pa.Schema, shards: Sequence[Shard]) -> Change:
        before = {file.path for file in self.files(parent)} if parent >= 0 else set()
        after = {shard.path for shard in shards}
        added = tuple(shard for shard in shards if shard.path not in before)
        removed = tuple(sorted(before - after))
        return Change(parent, schema, added, removed, keeps=bool(before & after))

    def _already_there(self, parent: int, newest: int, run_key: str) -> int:
        version = landed(self.uri, parent, newest, run_key)
        if version is None:
            problem = f"planned on version {parent}, but version {newest} is the newest now"
            raise ConflictError(self.uri, f"{problem}; nothing was committed")
        return version

    def _configuration(self) -> dict[str, str]:
        return {retention.LOG: self.log_retention, retention.FILES: self.file_retention}
