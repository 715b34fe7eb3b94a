"""What is known of a version of a table: its log, its files, and a look at some of its rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from operators.mine.audit import AUDIT
from operators.mine.summary import Audit
from operators.storage.table import Commit, Table, TableFile
from pipelines.audit import audited
from pipelines.report.looked import Looked, look


@dataclass(frozen=True, eq=False)
class Facts:
    """Everything that a page tells; nothing of it is read again."""

    uri: str
    version: int
    newest: int
    schema: pa.Schema
    files: tuple[TableFile, ...]
    history: tuple[Commit, ...]
    """Oldest first, up to the version."""
    lineage: Mapping[str, Any] = field(default_factory=dict)
    """What the commit recorded; empty where something else than corpusmill committed it."""
    looked: Looked = field(default_factory=Looked)
    audit: Audit | None = None
    """Of a table of negatives."""

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def counts(self) -> Mapping[str, Any]:
        """Of the run that made the version."""
        return self.lineage.get("counts") or {}

    def steps(self) -> dict[str, Mapping[str, Any]]:
        """The operators that made the rows, by name, with their fields."""
        told = (self.lineage.get("config") or {}).get("steps", ())
        return {name: fields for step in told for name, fields in step.items()}


def gathered(uri: str, version: int) -> Facts:
    """The facts of a version that is there; TableError where it cannot be read any more."""
    table = Table(uri)
    newest = table.version()
    if version != newest:
        table.check_readable(version)
    schema, files = table.schema(version), tuple(table.files(version))
    before = (entry for entry in reversed(table.history()) if entry.version <= version)
    of_negatives = set(AUDIT.names) <= set(schema.names)
    return Facts(
        uri,
        version,
        newest,
        schema,
        files,
        tuple(before),
        table.lineage(version) or {},
        look(uri, schema, files),
        audited(uri, version) if of_negatives else None,
    )
