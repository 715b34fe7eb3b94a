"""How long a table keeps what its newest version no longer needs, as its own properties say."""

import re

from deltalake.exceptions import DeltaError

from operators.errors import TableError
from operators.storage import log
from operators.storage.commit import properties_of

FILES = "delta.deletedFileRetentionDuration"
LOG = "delta.logRetentionDuration"
_HOURS = {
    "week": 168.0,
    "day": 24.0,
    "hour": 1.0,
    "minute": 1 / 60,
    "second": 1 / 3600,
    "millisecond": 1 / 3_600_000,
}
_INTERVAL = re.compile(r"\s*(?:interval\s+)?(\d+)\s+([a-z]+?)s?\s*", re.IGNORECASE)
_UNSAID = "interval 1 week"
"""What the Delta format takes where a table says nothing."""


def retention_hours(uri: str) -> float:
    """How long a table keeps replaced files; TableError for a property that is no interval."""
    delta = log.handle(uri)
    with log.explained(uri):
        told = delta.metadata().configuration.get(FILES, _UNSAID)
    found = _INTERVAL.fullmatch(told)
    if found is None or found[2].lower() not in _HOURS:
        problem = f"its property {FILES} is {told!r}; 'interval 30 days' would be right"
        raise TableError(uri, problem)
    return int(found[1]) * _HOURS[found[2].lower()]


def settle(uri: str, wanted: dict[str, str]) -> bool:
    """Give the table these properties by a version of its own; False if it has them already.

    False as well when another commit comes first: its own run settles them.
    """
    newest = log.newest_version(uri)
    delta = log.handle(uri, newest)
    with log.explained(uri):
        there = delta.metadata().configuration
        if all(there.get(name) == value for name, value in wanted.items()):
            return False
        record = {"retention": wanted}
        try:
            delta.alter.set_table_properties(
                wanted, commit_properties=properties_of(record, newest + 1)
            )
        except DeltaError:
            if log.newest_version(uri) > newest:
                return False
            raise
    return True
