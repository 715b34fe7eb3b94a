"""A feed as files: upserts and deletes as Parquet, what decodes them, and a manifest at the end."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from operators import columns
from operators.errors import ConfigError, SourceError, TableError
from operators.storage import uri as store
from operators.storage.parquet import write_rows

if TYPE_CHECKING:
    from operators.storage.table import Table
    from pipelines.feed import Feed

PART_BYTES = 64 << 20
MANIFEST = "manifest.json"


@dataclass
class Sink:
    """A folder that a feed is written to, part by part; without its manifest it is none."""

    uri: str
    _waiting: dict[str, list[pa.Table]] = field(default_factory=dict)
    _written: dict[str, list[str]] = field(
        default_factory=lambda: {"upserts": [], "deletes": [], "artefacts": []}
    )

    @classmethod
    @contextmanager
    def open(cls, uri: str) -> Iterator["Sink"]:
        """A sink that is finished, or leaves nothing; ConfigError unless `uri` is new or empty."""
        is_file = store.names_in(uri) is None
        if is_file or store.list_ages(uri, deep=True):
            found = "is a file" if is_file else "is not empty"
            raise ConfigError((f"--out {uri}: it {found}; name a new folder",))
        sink = cls(store.absolute(uri))
        try:
            yield sink
        except BaseException:
            store.delete([store.join(sink.uri, path) for path in sink._paths()])
            store.prune(sink.uri)
            raise

    def upsert(self, rows: pa.Table) -> None:
        """Add rows with their `change`."""
        self._add("upserts", rows)

    def delete(self, ids: pa.Array) -> None:
        """Add ids that are gone."""
        if len(ids):
            self._add("deletes", pa.table([ids], schema=pa.schema([columns.ID])))

    def finish(self, table: "Table", feed: "Feed", schema: pa.Schema) -> None:
        """Write what waits, the artefacts that decode its columns, then the manifest."""
        for kind in list(self._waiting):
            self._flush(kind)
        lineage = table.lineage(feed.after) if feed.after >= 0 else None
        told: dict[str, Any] = {name: n for name, n in asdict(feed).items() if name != "first"}
        told |= {
            "recipe": (lineage or {}).get("recipe"),
            "schema": [_described(each) for each in schema],
            "artefacts": {
                digest: self._copied(table.uri, digest)
                for each in schema
                if (digest := columns.decoder_of(each)[1])
            },
        }
        told |= {kind: self._written[kind] for kind in ("upserts", "deletes")}
        data = json.dumps(told, indent=2, sort_keys=True).encode()
        store.write_bytes(store.join(self.uri, MANIFEST), data)

    def _add(self, kind: str, rows: pa.Table) -> None:
        waiting = self._waiting.setdefault(kind, [])
        waiting.append(rows)
        if sum(each.nbytes for each in waiting) >= PART_BYTES:
            self._flush(kind)

    def _flush(self, kind: str) -> None:
        rows = pa.concat_tables(self._waiting.pop(kind))
        if len(rows):
            path = f"{kind}/part-{len(self._written[kind]):05d}.parquet"
            self._written[kind].append(path)
            write_rows(store.join(self.uri, path), rows)

    def _copied(self, table: str, digest: str) -> str:
        """Copy an artefact beside the feed; its path there."""
        path = f"artefacts/{digest}.safetensors"
        try:
            data = store.read_bytes(store.join(table, "_corpusmill", path))
        except SourceError as error:
            problem = f"the artefact {digest} that decodes its codes is gone"
            raise TableError(table, f"{problem} ({error.problem})") from error
        self._written["artefacts"].append(path)
        store.write_bytes(store.join(self.uri, path), data)
        return path

    def _paths(self) -> Iterator[str]:
        for paths in self._written.values():
            yield from paths


def _described(column: pa.Field) -> dict[str, Any]:
    notes = {key.decode(): value.decode() for key, value in (column.metadata or {}).items()}
    return {"name": column.name, "type": str(column.type), "metadata": notes}
