"""A lease on a table, so that a second run of it finds out before it does any work.

It spares work and decides nothing: what a table holds, its commits alone decide. So a lease
that is lost or taken twice costs time, never rows.
"""

import json
import os
import re
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

from operators.errors import ConflictError, SourceError
from operators.storage import uri as store

LEASES = "_corpusmill/lease"
TTL = 600.0
"""Seconds after its last renewal at which a lease lapses."""

_NAME = re.compile(r"(\d{12})\.json")
_TRIES = 5


@dataclass(frozen=True)
class Holder:
    """Who holds a lease. `since` is by the holder's clock: it is told, never compared."""

    token: str = ""
    host: str = "an unknown host"
    pid: int = 0
    machine: str = ""
    """Tells apart machines, their restarts and their containers; empty where nothing does."""
    born: str = ""
    """When the process began, in the system's own count, for process ids are used again."""
    since: str = "an unknown time"
    date: str = ""
    ttl: float = TTL

    @classmethod
    def this_process(cls, date: str = "", ttl: float = TTL) -> "Holder":
        """This process, with a token that is its alone; `date` is its run's logical date."""
        return cls(
            token=uuid.uuid4().hex,
            host=socket.gethostname(),
            pid=os.getpid(),
            machine=_machine(),
            born=_born(os.getpid()),
            since=_told(datetime.now(UTC)),
            date=date,
            ttl=ttl,
        )

    @property
    def gone(self) -> bool:
        """Whether this very machine knows that the process has ended."""
        return bool(self.machine) and self.machine == _machine() and _born(self.pid) != self.born


@dataclass(frozen=True)
class Lease:
    """A lease that was taken: the numbered object that says who has it."""

    table: str
    number: int
    holder: Holder

    @property
    def uri(self) -> str:
        """Where it lies."""
        return store.join(self.table, LEASES, f"{self.number:012d}.json")

    def renew(self) -> bool:
        """Begin its time anew; False when another run has taken it over. Raises SourceError."""
        if not self._is_ours():
            return False
        store.write_bytes(self.uri, _json(self.holder))
        return True

    def release(self) -> None:
        """Give it back and leave no trace, unless another run has taken it over."""
        if self._is_ours():
            store.delete([self.uri])
        _remove_if_empty(self.table)

    def _is_ours(self) -> bool:
        number, holder = _newest(store.join(self.table, LEASES))
        return (number, holder and holder.token) == (self.number, self.holder.token)


@contextmanager
def held(table: str, holder: Holder) -> Iterator[Lease]:
    """Hold a table's lease, renewed every third of its time, and give it back at the end.

    ConflictError when another run holds it; SourceError when the store cannot be written to.
    """
    lease = take(table, holder)
    ended = threading.Event()
    renewing = threading.Thread(target=_keep, args=(lease, ended), daemon=True)
    renewing.start()
    try:
        yield lease
    finally:
        ended.set()
        renewing.join()
        with suppress(SourceError):  # what cannot be given back lapses
            lease.release()


def take(table: str, holder: Holder) -> Lease:
    """Take a table's lease if it is free, has lapsed, or belongs to a process that has ended.

    Leases are numbered, and a number is created by exactly one taker, so of several only one
    wins. ConflictError says who has it; SourceError when the store cannot be written to.
    """
    folder = store.join(table, LEASES)
    refusal: SourceError | None = None
    for _ in range(_TRIES):
        number, other = _newest(folder)
        if other is not None and not other.gone:
            left = _time_left(folder, number, other)
            if left > 0:
                raise ConflictError(table, _busy(other, left))
        lease = Lease(table, number + 1, holder)
        try:
            if store.create_bytes(lease.uri, _json(holder)):
                store.delete([store.join(folder, name) for name in _names(folder, below=number)])
                return lease
        except SourceError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            refusal = error  # a run that ended just now removed the empty folder
    if refusal is not None:
        raise refusal
    raise ConflictError(table, "other runs of it begin at this very moment; try again")


def lapses_in(table: str, date: str) -> float | None:
    """Seconds until the lease of a run of this logical date lapses; None where no such run has it.

    SourceError when the store cannot be read or written to.
    """
    folder = store.join(table, LEASES)
    number, holder = _newest(folder)
    if holder is None or holder.date != date:
        return None
    return max(0.0, _time_left(folder, number, holder))


def _keep(lease: Lease, ended: threading.Event) -> None:
    while not ended.wait(lease.holder.ttl / 3):
        with suppress(SourceError):  # the next try is a third of its time away
            if not lease.renew():
                return


def _newest(folder: str) -> tuple[int, Holder | None]:
    """The highest number and who holds it; (0, None) when there is none."""
    for name in reversed(_names(folder)):
        try:
            return int(name.partition(".")[0]), _parsed(store.read_bytes(store.join(folder, name)))
        except SourceError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise  # else it was given back just now
    return 0, None


def _names(folder: str, below: int | None = None) -> list[str]:
    names = [name for name in store.list_names(folder) if _NAME.fullmatch(name)]
    return names if below is None else [name for name in names if int(name[:12]) <= below]


def _time_left(folder: str, number: int, holder: Holder) -> float:
    """Seconds until it lapses, by the store's clock alone: an object written now tells its time."""
    name, probe = f"{number:012d}.json", f"clock-{uuid.uuid4().hex}"
    store.write_bytes(store.join(folder, probe), b"")
    try:
        times = dict(store.list_ages(folder))
    finally:
        store.delete([store.join(folder, probe)])
    return holder.ttl - (times[probe] - times[name]) if name in times else 0.0


def _busy(other: Holder, left: float) -> str:
    date = f", for {other.date}" if other.date else ""
    lapses = _told(datetime.now(UTC) + timedelta(seconds=left))
    return (
        f"another run is at work: process {other.pid} on {other.host}{date}, since {other.since}; "
        f"its lease lapses at {lapses} unless it is renewed; wait for its end, or run with "
        "--no-lease to work side by side (one of the two will not be published)"
    )


def _json(holder: Holder) -> bytes:
    return json.dumps(asdict(holder), sort_keys=True).encode()


def _parsed(data: bytes) -> Holder | None:
    """Who a lease names; None when it is no lease. What is missing has its default."""
    try:
        found = json.loads(data)
        known = {field.name for field in fields(Holder)}
        return Holder(**{name: value for name, value in found.items() if name in known})
    except (ValueError, AttributeError):
        return None


def _told(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _born(pid: int) -> str:
    """The start time that the system notes of a process; empty when it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    state, *rest = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else rest[18]


def _remove_if_empty(table: str) -> None:
    """Of a run that ended before it wrote anything, not even folders stay."""
    if store.is_local(table):
        folder = Path(store.absolute(store.join(table, LEASES)))
        with suppress(OSError):  # the first that is not empty
            for path in (folder, *folder.parents[:2]):
                path.rmdir()
