"""What made the vectors of a table that a phase reads, as the table's commits record it."""

from collections.abc import Mapping
from typing import Any

from operators.registry import OPERATORS
from operators.storage import uri as store
from operators.storage.table import Table
from operators.text.source import Source
from pipelines.plan import resolved


def makers(source: Source, versions: Mapping[str, tuple[str, int]]) -> list[str]:
    """Fingerprints of the phases that made its vectors, the last first, back to where a model did.

    None for files, for tables of others, and for a phase that has committed nothing yet.
    """
    if source.phase and source.phase not in versions:
        return []
    source = resolved(source, versions)
    found: list[str] = []
    record = _record(source.uri, source.version)
    while record is not None and record.keys() >= {"fingerprints", "config", "readable"}:
        found += [record["fingerprints"][name] for name in ("encoding", "codec")]
        read = record["config"]["read"]
        own = read["format"] == "delta" and not _loads_model(record)
        record = _record(read["uri"], read["version"]) if own else None
    return found


def _record(uri: str, version: int) -> dict[str, Any] | None:
    """What the commit of a version recorded; None where there is no such table of ours."""
    if not uri or not store.list_names(store.join(store.absolute(uri), "_delta_log")):
        return None
    table = Table(store.absolute(uri))
    return table.lineage(table.version() if version < 0 else version)


def _loads_model(record: dict[str, Any]) -> bool:
    names = {step["operator"] for step in record["readable"]["steps"]}
    return any(OPERATORS[name].loads_model for name in names & OPERATORS.keys())
