"""Rows to be forgotten: out of the newest version, of history and of every side file.

What holds them is found first, and nothing is touched before all of it is known. Then one commit
takes the rows out of the newest version, which makes every run in flight stale; then what only
older versions and unfinished runs need is deleted. Killed anywhere, the same call goes on.
"""

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from operators.errors import ConfigError, TableError
from operators.storage import bulk, history, log
from operators.storage import uri as store
from operators.storage.absence import Proof, prove_absence
from operators.storage.inventory import LOG, Inventory, inventory, read_objects, unworded
from operators.storage.log_search import log_holds
from operators.storage.parquet import Shard, read_shard, shard_metadata, write_rows, write_shard
from operators.storage.search import Marks, Wanted, has_rows, search_rows, without
from operators.storage.table import Table, TableFile

ID_COLUMNS = frozenset(
    {
        *("id", "parent_id", "query_id", "doc_id"),
        *("positive_id", "positive_ids", "negative_ids", "dropped_ids"),
    }
)
"""Columns whose rows go with an id. Of lists too: what stands beside an id in other lists, and a
target that was made for all of them, would no longer be right."""
_OWN = frozenset({"id", "parent_id"})
"""A row with an id in these is the erased thing itself, or a part of it: its own id goes too."""
_QUARANTINE = "_quarantine/"
_RUNS = "_corpusmill/runs/"


@dataclass(frozen=True)
class Request:
    """Whose rows go: ids of rows, of their parents, or of what they refer to."""

    table: str
    ids: tuple[str, ...]
    also: frozenset[str] = frozenset()
    """Further columns whose rows go with an id."""
    ignored: frozenset[str] = frozenset()
    """Columns in which an equal value is no id."""


@dataclass(frozen=True, eq=False)
class Erasure:
    """All that holds the ids, before anything is touched."""

    request: Request
    version: int
    wanted: Wanted
    """The ids, and those of rows that go with them."""
    unknown: int
    """Ids that are nowhere under the table."""
    rows: int
    """Rows of the newest version that go."""
    affected: tuple[TableFile, ...]
    """Files of the newest version that hold such rows."""
    quarantines: tuple[str, ...]
    doomed: tuple[str, ...]
    """What else holds an id, or may: files of older versions and of runs, half-written ones."""
    lost: tuple[int, ...]
    """Versions that can no longer be read then."""
    cuts_log: bool
    """Whether the log itself holds an id, so that it must begin anew."""

    @property
    def nothing(self) -> bool:
        """Whether no object under the table holds any of the ids."""
        return not (self.affected or self.quarantines or self.doomed or self.cuts_log)


@dataclass
class _Found:
    """What a search of the Parquet files came to."""

    rows: dict[str, int] = field(default_factory=dict)
    """Rows that go, by file."""
    stray: Counter[str] = field(default_factory=Counter)
    """Rows of the newest version that hold an id elsewhere and do not go, by column."""
    own: set[str] = field(default_factory=set)
    values: set[str] = field(default_factory=set)


def plan_erasure(request: Request) -> Erasure:
    """Search everything under the table.

    TableError when there is none, when it has a layout that only its own writer can rewrite, when
    a file cannot be read, or when rows that do not go hold an id in a column that is not for ids.
    """
    if not request.ids:
        raise ConfigError(("no id to erase",))
    uri, table = request.table, Table(request.table)
    version = table.version()
    log.check_plain(uri)
    live = {file.path: file for file in table.files(version)}
    there = inventory(uri)
    if missing := sorted(set(live) - set(there.parquet)):
        raise TableError(uri, f"{missing[0]} of version {version} is not under the table")
    wanted, found = _searched(request, there, live)
    if found.stray:
        raise TableError(uri, _told(found.stray))
    side = _side_files(request, there, wanted)
    cuts = log_holds(uri, wanted, there, found.rows)
    gone = [path for path in found.rows if not path.startswith(_QUARANTINE)]
    doomed = sorted({*gone, *side, *there.leftovers})
    return Erasure(
        request=request,
        version=version,
        wanted=wanted,
        unknown=_unknown(request, found, side),
        rows=sum(rows for path, rows in found.rows.items() if path in live),
        affected=tuple(live[path] for path in sorted(found.rows) if path in live),
        quarantines=tuple(p for p in sorted(found.rows) if p.startswith(_QUARANTINE)),
        doomed=tuple(doomed),
        lost=tuple(range(version + 1) if cuts else history.versions_with(uri, doomed)),
        cuts_log=cuts,
    )


def erase(erasure: Erasure) -> int:
    """Do what was planned; the version without the rows.

    ConflictError, with nothing erased, when another commit came first.
    """
    uri = erasure.request.table
    version = _commit(erasure)
    for path in erasure.quarantines:
        table = read_shard(uri, path)
        write_rows(store.join(uri, path), table.filter(pa.array(~_going(erasure, table))))
    if erasure.cuts_log:
        history.begin_at(uri, version)
    bulk.delete([store.join(uri, path) for path in erasure.doomed])
    store.prune(store.join(uri, "data"))
    return version


def prove(erasure: Erasure) -> Proof:
    """Search everything again; TableError names the first object that still holds an id."""
    return prove_absence(erasure.request.table, erasure.wanted, erasure.request.ignored)


def _searched(
    request: Request, there: Inventory, live: dict[str, TableFile]
) -> tuple[Wanted, _Found]:
    """Search all tables of rows, again when rows that go have ids of their own."""
    wanted = Wanted.of(request.ids)
    while True:
        found = _Found()
        for path in there.parquet:
            if not path.startswith((LOG, _RUNS)):
                _search(request, wanted, path, found, in_newest=path in live)
        more = pa.array(sorted(found.own), pa.string())
        new = more.filter(pa.array(~wanted.among(more)))
        if not len(new):
            return wanted, found
        wanted = wanted.with_more(str(each) for each in new)


def _search(request: Request, wanted: Wanted, path: str, found: _Found, *, in_newest: bool) -> None:
    going = ID_COLUMNS | request.also
    for rows in search_rows(store.join(request.table, path), wanted, request.ignored):
        hits = rows.hits
        gone = _either([hits[name] for name in hits if name in going], len(rows.table))
        if in_newest:
            for name in set(hits) - going:
                if stray := int((hits[name] & ~gone).sum()):
                    found.stray[name] += stray
        else:
            gone = _either(list(hits.values()), len(rows.table))
        if gone.any():
            found.rows[path] = found.rows.get(path, 0) + int(gone.sum())
        found.values |= rows.values
        own = _either([hits[name] for name in hits if name in _OWN], len(rows.table))
        if own.any() and "id" in rows.table.column_names:
            ids: list[Any] = rows.table["id"].filter(pa.array(own)).cast(pa.string()).to_pylist()
            found.own |= {each for each in ids if each is not None}


def _side_files(request: Request, there: Inventory, wanted: Wanted) -> list[str]:
    """Bookkeeping of runs and other JSON that holds an id, as it stands or hashed."""
    uri = request.table
    tables = [path for path in there.parquet if path.startswith(_RUNS)]
    objects = read_objects(uri, (path for path in there.json if not path.startswith(LOG)))
    return [
        *(p for p in tables if any(r.hits for r in search_rows(store.join(uri, p), wanted))),
        *(path for path, value in objects.items() if wanted.in_json(value)),
    ]


def _commit(erasure: Erasure) -> int:
    """One version without the rows, made from the planned one."""
    uri = erasure.request.table
    table, run = Table(uri), uuid.uuid4().hex
    going = {file.path for file in erasure.affected}
    kept = [file for file in table.files(erasure.version) if file.path not in going]
    written = [shard for file in erasure.affected if (shard := _rewritten(erasure, file, run))]
    shards = [*(Shard(file.path, file.rows, file.size, "") for file in kept), *written]
    before = table.lineage(erasure.version) or {}
    lineage = _lineage(erasure, before, sum(shard.rows for shard in shards))
    schema = table.schema(erasure.version)
    return table.commit(erasure.version, schema, shards, lineage, f"erase-{run}")


def _rewritten(erasure: Erasure, file: TableFile, run: str) -> Shard | None:
    """The file's other rows as a file of its own; None where there are none."""
    uri = erasure.request.table
    rows = read_shard(uri, file.path)
    kept = rows.filter(pa.array(~_going(erasure, rows)))
    if not len(kept):
        return None
    name = file.path.rpartition("/")[2].removesuffix(".parquet")
    unit = name.rpartition("-")[0] if file.path.startswith("data/") else name
    return write_shard(uri, f"erased-{run}", unit, kept, shard_metadata(file.uri))


def _lineage(erasure: Erasure, before: dict[str, Any], rows: int) -> dict[str, Any]:
    """What the version that loses rows says of itself, with its counts as they are now."""
    free = without(unworded(before), erasure.wanted)
    kept = {name: each for name, each in before.items() if name not in unworded(before)}
    lineage = {**kept, **free}
    if lineage.get("source_files") in erasure.doomed:
        del lineage["source_files"]
    if "rows_out" in (counts := lineage.get("counts") or {}):
        own = max(0, counts["rows_out"] - erasure.rows)
        lineage |= {"counts": {**counts, "rows_out": own}, "kept_rows": rows - own}
    erased = (before.get("erased") or {}).get("rows", 0) + erasure.rows
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return lineage | {"erased": {"rows": erased, "at": now}}


def _going(erasure: Erasure, table: pa.Table) -> Marks:
    """Which rows of a table hold an id."""
    hits = has_rows(table, erasure.wanted, erasure.request.ignored)
    return _either(list(hits.values()), len(table))


def _either(marks: Sequence[Marks], rows: int) -> Marks:
    any_of: Marks = np.logical_or.reduce([np.zeros(rows, np.bool_), *marks])
    return any_of


def _unknown(request: Request, found: _Found, side: Sequence[str]) -> int:
    """Ids that no table of rows holds."""
    stems = {each.rpartition("#")[0] for each in found.values if "#" in each}
    return len(set(request.ids) - found.values - stems)


def _told(stray: Counter[str]) -> str:
    names = sorted(stray)
    rows = "1 row" if stray.total() == 1 else f"{stray.total():,} rows"
    return (
        f"column {', '.join(names)} holds an erased id in {rows} that would stay; "
        f"--also {names[0]} erases such rows, --ignore {names[0]} says that it is no id there"
    )
