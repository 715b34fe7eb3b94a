"""All that lies under a table, and what of its JSON could tell of rows."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from operators.errors import SourceError, TableError
from operators.storage import bulk, log
from operators.storage import uri as store

LOG = "_delta_log/"
OUR_WORDS = frozenset(
    {
        *("careless_store_allowed", "changes", "checks", "code", "committed_at", "config"),
        *("counts", "date", "erased", "fingerprints", "gate", "kept_rows", "models"),
        *("parent", "passing_units", "phase", "quarantine_files", "readable", "recipe", "run_key"),
        *("snapshot", "source", "source_files", "source_version"),
    }
)
"""What our commits record of how a version was made: words and sums, and no id of a row."""


@dataclass(frozen=True)
class Inventory:
    """The objects under a table by what they are, as paths in it."""

    parquet: tuple[str, ...]
    json: tuple[str, ...]
    leftovers: tuple[str, ...]
    """What a killed writer left half written."""
    others: tuple[str, ...]
    """Arrays of artefacts, names of pins, empty markers: no ids."""


def inventory(uri: str) -> Inventory:
    """List everything; TableError where the store refuses."""
    try:
        names = [name for name, _ in store.list_ages(uri, deep=True)]
    except SourceError as error:
        raise TableError(uri, error.problem) from error
    found: dict[str, list[str]] = {"parquet": [], "json": [], "leftovers": [], "others": []}
    for name in names:
        found[_kind(name)].append(name)
    return Inventory(**{kind: tuple(paths) for kind, paths in found.items()})


def read_objects(uri: str, paths: Iterable[str]) -> dict[str, list[Any]]:
    """The objects of JSON files by path, several where each has a line; else the text itself."""
    named = list(paths)
    data = bulk.read_many([store.join(uri, path) for path in named])
    return {path: _parsed(each) for path, each in zip(named, data, strict=True)}


def searchable(value: Any) -> Any:
    """A JSON object less what only our own words can stand in."""
    if isinstance(value, list):
        return [searchable(each) for each in value]
    if isinstance(value, dict) and isinstance(value.get("commitInfo"), dict):
        info = value["commitInfo"]
        record = log.recorded(info) or {}
        lineage = unworded(record.get("lineage") or {})
        rest = {name: each for name, each in record.items() if name != "lineage"}
        return {**value, "commitInfo": {**info, log.APP: [lineage, rest]}}
    return value


def unworded(lineage: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a lineage in which an id could stand."""
    return {name: each for name, each in lineage.items() if name not in OUR_WORDS}


def _kind(name: str) -> str:
    if name.endswith(".part"):
        return "leftovers"
    if name.endswith(".parquet"):
        return "parquet"
    if name.endswith((".json", ".crc")) or name == f"{LOG}_last_checkpoint":
        return "json"
    return "others"


def _parsed(data: bytes) -> list[Any]:
    text = data.decode(errors="replace")
    try:
        return [json.loads(text)]
    except ValueError:
        pass
    try:
        return [json.loads(line) for line in text.splitlines() if line]
    except ValueError:
        return [text]
