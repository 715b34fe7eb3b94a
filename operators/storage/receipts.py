"""What a run leaves behind a unit: attempt markers, one receipt, an entry in the registry."""

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from operators.errors import SourceError, TableError
from operators.storage import bulk
from operators.storage import uri as store
from operators.storage.parquet import Shard

RUNS = "_corpusmill/runs"


@dataclass(frozen=True)
class Receipt:
    """What became of one unit; the receipt, not a listing, says which shards count.

    `quarantine` is the file of its bad rows relative to the table ("" for none), `bad` counts
    them by reason. Norms are 0 where the unit has no vectors. `seconds` is by step.
    """

    unit: str
    shards: tuple[Shard, ...]
    quarantine: str
    rows_in: int
    rows_out: int
    tokens: int
    truncated: int
    bad: dict[str, int]
    min_norm: float
    max_norm: float
    not_finite: int
    seconds: dict[str, float]
    parts: int = -1
    """Number of parts the unit was read as, whose receipts are `<unit>.p00000`…; -1: one part."""
    measured: dict[str, int] = field(default_factory=dict)
    """What the models' loops told of their work; receipts of earlier releases tell nothing."""
    retries: int = 0
    """How often it had been begun before, by attempts that died."""
    worker: str = ""
    """Node and process that wrote it."""

    def to_json(self) -> bytes:
        """The receipt as canonical JSON; ValueError for a number that JSON has not."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Receipt":
        """The receipt that `to_json` wrote; ValueError or TypeError when it is anything else."""
        fields = json.loads(data)
        fields["shards"] = tuple(Shard(**shard) for shard in fields["shards"])
        named = (fields["quarantine"], *(shard.path for shard in fields["shards"]))
        if outside := next((path for path in named if store.leads_out(path)), None):
            raise ValueError(f"it names {outside!r}, which is not under the table")
        return cls(**fields)


@dataclass(frozen=True)
class RunFolder:
    """The bookkeeping of one run under `_corpusmill/runs/<run>/`, shared by its workers."""

    table_uri: str
    run: str

    @property
    def uri(self) -> str:
        """Where the bookkeeping lies."""
        return store.join(self.table_uri, RUNS, self.run)

    def path(self, *parts: str) -> str:
        """The URI of something in the folder."""
        return store.join(self.uri, *parts)

    def mark_attempt(self, unit: str, stage: str) -> int:
        """Leave a marker that `stage` starts on `unit`; how many such markers were there before."""
        before = self.begun(unit, stage)
        with _explained():
            store.write_bytes(self.path("attempts", unit, f"{stage}-{uuid.uuid4().hex}"), b"")
        return before

    def begun(self, unit: str, stage: str) -> int:
        """How often `stage` was begun on `unit`."""
        with _explained():
            names = store.list_names(self.path("attempts", unit))
        return sum(_stage(name) == stage for name in names)

    def attempts(self) -> dict[str, int]:
        """How often each unit was begun: the largest count over its stages."""
        most: dict[str, int] = {}
        for (unit, _), count in Counter(map(begun_in, self.marks())).items():
            most[unit] = max(most.get(unit, 0), count)
        return most

    def marks(self) -> list[str]:
        """The attempt markers that are there; `begun_in` tells of what."""
        with _explained():
            return [name for name, _ in store.list_ages(self.path("attempts"), deep=True)]

    def take_back(self, marks: Iterable[str]) -> None:
        """Remove attempt markers, as if those attempts had not been."""
        with _explained():
            bulk.delete([self.path("attempts", mark) for mark in marks])

    def parts(self, unit: str) -> int:
        """How many parts of a unit have a receipt."""
        with _explained():
            return sum(name.startswith(f"{unit}.p") for name in self._whole("receipts"))

    def write_receipt(self, receipt: Receipt) -> Receipt:
        """Store the unit's receipt, or return the one of the attempt that was first."""
        uri = self._receipt_uri("receipts", receipt.unit)
        with _explained():
            if store.create_bytes(uri, receipt.to_json()):
                return receipt
            return _parse(uri, store.read_bytes(uri))

    def has_receipt(self, unit: str) -> bool:
        """Whether the unit is finished."""
        with _explained():
            return store.size_of(self._receipt_uri("receipts", unit)) is not None

    def receipts(self) -> dict[str, Receipt]:
        """The receipts by unit, sorted; an amended one stands in for the original."""
        with _explained():
            found = dict.fromkeys(self._whole("receipts"), "receipts")
            found |= dict.fromkeys(self._whole("amended"), "amended")
            uris = [self.path(found[name], name) for name in sorted(found)]
            parsed = [
                _parse(uri, data) for uri, data in zip(uris, bulk.read_many(uris), strict=True)
            ]
        return {receipt.unit: receipt for receipt in parsed}

    def amend(self, receipt: Receipt) -> None:
        """Replace a unit's receipt (after its duplicate ids were removed); the original stays."""
        with _explained():
            store.write_bytes(self._receipt_uri("amended", receipt.unit), receipt.to_json())

    def register(self, entry: dict[str, Any]) -> None:
        """Write the run's registry entry, with status `running` unless it says another."""
        with _explained():
            data = json.dumps({"status": "running", **entry}, sort_keys=True).encode()
            store.write_bytes(self.path("run.json"), data)

    def entry(self) -> dict[str, Any] | None:
        """The registry entry, None for a run that was never registered."""
        uri = self.path("run.json")
        with _explained():
            if store.size_of(uri) is None:
                return None
            entry: dict[str, Any] = json.loads(store.read_bytes(uri))
        return entry

    def finish(self, status: str, reasons: Sequence[str] = ()) -> None:
        """Record how the run ended (`committed`, `refused`, `failed`…), and why where it says."""
        why = {"reasons": list(reasons)} if reasons else {}
        self.register({**(self.entry() or {}), "status": status, **why})

    def _whole(self, folder: str) -> list[str]:
        """Names of what was written to its end; a killed writer on disk leaves a `.part` behind."""
        return [name for name in store.list_names(self.path(folder)) if name.endswith(".json")]

    def _receipt_uri(self, folder: str, unit: str) -> str:
        return self.path(folder, f"{unit}.json")


def runs(table_uri: str) -> list[str]:
    """The runs that have left anything under a table's registry, sorted."""
    with _explained():
        return store.list_folders(store.join(table_uri, RUNS))


def begun_in(mark: str) -> tuple[str, str]:
    """The unit and the stage of an attempt marker."""
    unit, _, name = mark.partition("/")
    return unit, _stage(name)


def _stage(marker: str) -> str:
    return marker.rpartition("-")[0]


def _parse(uri: str, data: bytes) -> Receipt:
    try:
        return Receipt.from_json(data)
    except (ValueError, TypeError, KeyError) as error:
        raise TableError(uri, f"not a receipt ({error})") from error


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except SourceError as error:
        raise TableError(error.uri, error.problem) from error
