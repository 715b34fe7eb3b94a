"""Which logical date is due: remembered on the table's own storage, so that a restart knows."""

import json
from dataclasses import dataclass, field
from datetime import datetime

from cluster.cron import Cron
from cluster.dates import moment, told
from operators.errors import ConfigError, TableError
from operators.storage import uri as store
from operators.storage.table import Table

SCHEDULES = "_corpusmill/schedule"
SETTLED = frozenset({0, 2, 4, 5})
"""Exit codes after which a date is over: done, wrong config, refused by the gate, busy with another
date. A run that failed otherwise or was stopped leaves its date open: it counts as missed."""


@dataclass
class Memory:
    """The last date that a schedule settled, in this process and in an object beside the table.

    The commits alone cannot tell: a run that finds nothing changed commits nothing. The newest
    commit's date counts where it is later, so that dates run by other means are not run again.
    """

    table: str
    name: str
    settled: datetime | None = field(default=None, init=False)

    @property
    def uri(self) -> str:
        """Where it is kept."""
        return store.join(self.table, SCHEDULES, f"{self.name}.json")

    def recall(self, now: datetime) -> datetime | None:
        """The last settled date; None for a schedule that never ran. Raises CorpusmillError."""
        known = [self.settled, self._written(), self._committed(now)]
        self.settled = max((date for date in known if date), default=None)
        return self.settled

    def settle(self, date: datetime, code: int | None) -> None:
        """Remember that dates up to this one are over; `code` is None where no run was due."""
        self.settled = date
        data = json.dumps({"date": told(date), "exit_code": code}).encode()
        store.write_bytes(self.uri, data)

    def _written(self) -> datetime | None:
        if store.size_of(self.uri) is None:
            return None
        try:
            return moment(json.loads(store.read_bytes(self.uri))["date"])
        except (ValueError, TypeError, KeyError, ConfigError) as error:
            problem = "not what a schedule remembers; delete it to begin anew"
            raise TableError(self.uri, problem) from error

    def _committed(self, now: datetime) -> datetime | None:
        """The newest commit's date; none from the future, which a label by hand may be."""
        date = (Table(self.table).lineage() or {}).get("date")
        found = moment(date) if date else None
        return found if found and found <= now else None


def due(cron: Cron, memory: Memory, now: datetime, *, catch_up: bool) -> datetime | None:
    """The date to run now, if any: with `catch_up` the oldest that is not settled, else the newest.

    By default one run stands for all missed dates, as it takes the source as it is now.
    """
    settled = memory.recall(now)
    if settled is None:
        return cron.last(now)
    return next(cron.between(settled, now), None) if catch_up else cron.newest(settled, now)


def begun(memory: Memory, now: datetime) -> None:
    """A schedule's first start: dates before it were not missed."""
    if memory.recall(now) is None:
        memory.settle(now, None)
