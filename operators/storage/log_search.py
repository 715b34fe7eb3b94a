"""Whether a table's log tells of rows: in what writers recorded, or in statistics of files."""

import json
from collections.abc import Collection, Iterator
from typing import Any

from operators.storage import uri as store
from operators.storage.inventory import LOG, Inventory, read_objects, searchable
from operators.storage.parquet import opened
from operators.storage.search import Wanted

_FILES = ("add", "remove")


def log_objects(uri: str, there: Inventory) -> Iterator[tuple[str, list[Any]]]:
    """The log's entries and checkpoints by path, each as the actions that it holds."""
    yield from read_objects(uri, (p for p in there.json if p.startswith(LOG))).items()
    for path in there.parquet:
        if path.startswith(LOG):
            yield path, list(_actions(store.join(uri, path)))


def log_holds(uri: str, wanted: Wanted, there: Inventory, holders: Collection[str]) -> bool:
    """Whether any entry or checkpoint holds an id, or may.

    `holders` are the files that hold one: least and greatest values that a writer recorded of them
    are those of erased rows as well, perhaps cut short. So may be those of files that are gone.
    """
    clean = set(there.parquet) - set(holders)
    for _, actions in log_objects(uri, there):
        if wanted.in_json(searchable(actions)):
            return True
        adds = (each["add"] for each in actions if isinstance(each, dict) and each.get("add"))
        if any(add["path"] not in clean and _has_values(add) for add in adds):
            return True
    return False


def _has_values(add: dict[str, Any]) -> bool:
    stats = json.loads(add.get("stats") or "{}")
    return any(
        told.get(name)
        for told in (stats, add.get("stats_parsed") or {})
        for name in ("minValues", "maxValues")
    )


def _actions(uri: str) -> Iterator[dict[str, Any]]:
    """What a checkpoint says of files, as log entries do."""
    with opened(uri) as file:
        names = [name for name in _FILES if name in file.schema_arrow.names]
        for group in range(file.metadata.num_row_groups):
            rows = file.read_row_group(group, columns=names)
            for name in names:
                for each in rows[name].to_pylist():
                    if each:
                        yield {name: {key: _plain(value) for key, value in each.items()}}


def _plain(value: Any) -> Any:
    """A map, which Arrow gives as pairs, as an object."""
    is_map = isinstance(value, list) and all(isinstance(pair, tuple) for pair in value)
    return dict(value) if is_map else value
