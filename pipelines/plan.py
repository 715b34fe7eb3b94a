"""From a phase to what will be done: sources listed, columns bound, identity and run key known.

Planning reads listings and footers; it writes nothing and imports neither torch nor ray.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa

from operators import columns
from operators.base import Accumulates, Operator, RowByRow, Sized
from operators.beside import Around, Beside, Follows, Listed, Settles
from operators.errors import ConfigError, ContractError
from operators.storage.receipts import Receipt
from operators.storage.stored import stored
from operators.storage.table import Table
from operators.text.source import Source, Unit
from pipelines.canaries import check_canaries
from pipelines.fingerprint import digest, fingerprints, recipe, run_key, step_identity
from pipelines.homes import Homes
from pipelines.listing import Listing, list_source
from pipelines.parent import Parent, find_parent
from pipelines.spec import BY_HAND, Asked, Phase, Step
from pipelines.units import cut_units
from pipelines.work import Job

_UNITS = 64
_SMALLEST_UNIT, _LARGEST_UNIT = 512 << 10, 64 << 20
_LARGE_UNIT = 16 << 20
"""As large as units get before there are too many: 4 million tokens, minutes of a model on CPUs."""
_MANY_UNITS = 15_000
_BYTES_A_ROW = 200
_ROWS_A_BUCKET = 4_000_000


@dataclass(frozen=True)
class PhasePlan:
    """One phase, ready to run: its units, schemas, fingerprints and the version it builds on."""

    phase: Phase
    source: Source
    listing: Listing
    units: tuple[Unit, ...]
    schemas: tuple[pa.Schema, ...]
    fingerprints: dict[str, str]
    most_rows: int
    """Rows that the source may become, for all that is known before it is read."""
    parent: int
    run: str
    committed: dict[str, object] | None
    """What the commit behind the parent version recorded; None for a new or foreign table."""
    asked: Asked = BY_HAND
    built_on: Parent | None = None
    """What is there already; None for a new table, a foreign one, one that adds, or a rerun."""
    homes: Homes | None = None
    """Where vectors of equal texts are, while a run encodes or takes over what it can."""

    @property
    def unchanged(self) -> bool:
        """Whether the table was made by exactly this recipe of exactly this source."""
        return self.committed is not None and (
            self.committed.get("recipe"),
            self.committed.get("snapshot"),
        ) == (self.fingerprints["recipe"], self.listing.snapshot)

    @property
    def nothing_to_do(self) -> bool:
        """Whether it is unchanged, and holds all that a run could make of it.

        Units that a store failed are tried again where that takes no more than their files.
        """
        few = self.built_on is not None and bool(self.built_on.touched)
        return self.unchanged and not (few and (self.committed or {}).get("passing_units"))

    @property
    def job(self) -> Job:
        """What the workers need of this plan."""
        there = sum(file.rows for file in self.built_on.files) if self.built_on else 0
        return Job(
            table=self.phase.write.table,
            run=self.run,
            source=self.source,
            steps=self.phase.steps,
            schemas=self.schemas,
            fingerprint=self.fingerprints["recipe"],
            buckets=max(1, -(-max(self.most_rows, there) // _ROWS_A_BUCKET)),
            accumulates=self.accumulates,
            homes=self.homes,
        )

    @property
    def accumulates(self) -> bool:
        """Whether the phase adds rows to those its table has."""
        return any(isinstance(step.operator, Accumulates) for step in self.phase.steps)

    def pending(self, receipts: Mapping[str, Receipt]) -> list[Unit]:
        """The units that still have something to do."""
        return [unit for unit in self.units if not finished(unit, receipts)]


def plan_phase(
    phase: Phase,
    versions: Mapping[str, tuple[str, int]] | None = None,
    asked: Asked = BY_HAND,
) -> PhasePlan:
    """List, bind and identify a phase.

    `versions` gives the table and version each earlier phase committed. Raises SourceError,
    ContractError, ModelError or TableError.
    """
    source = resolved(phase.read, versions or {})
    listing = list_source(source)
    table = Table(phase.write.table)
    table.check_writable()
    parent = table.version()
    own = Beside(table.uri, version=parent) if parent >= 0 else Beside()
    phase = replace(phase, steps=_settled(phase.steps, listing.source, versions or {}, own))
    largest = source.unit_bytes or bytes_a_unit(listing.size, phase.steps)
    listing = replace(listing, source=replace(listing.source, unit_bytes=largest))
    source = listing.source
    schemas = bind(listing.schema, phase.steps)
    check_canaries(phase, schemas)
    prints = fingerprints(source, phase.steps)
    committed = table.lineage(parent) if parent >= 0 else None
    plan = PhasePlan(
        phase=phase,
        source=source,
        listing=listing,
        units=cut_units(source, listing),
        schemas=schemas,
        fingerprints=prints,
        most_rows=most_rows(listing.rows, listing.size, phase.steps),
        parent=parent,
        run=run_key(prints["recipe"], listing.snapshot, parent, asked.nonce),
        committed=None if asked.nonce else committed,
        asked=asked,
    )
    return replace(plan, built_on=find_parent(plan))


def _settled(
    steps: tuple[Step, ...],
    source: Source,
    versions: Mapping[str, tuple[str, int]],
    own: Beside,
) -> tuple[Step, ...]:
    """The steps with everything that only the plan knows; the last first, for the others see it."""
    done: list[Step] = []
    listed = partial(_listed, versions)
    for step in reversed(placed(steps)):
        operator = step.operator
        if isinstance(operator, Settles):
            following = tuple(later.operator for later in done)
            around = Around(source, versions, own, following, _identified, listed)
            step = replace(step, operator=operator.settled(around))
        done.insert(0, step)
    return tuple(done)


def placed(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps, each knowing what follows it."""
    operators = tuple(step.operator for step in steps)
    return tuple(
        replace(step, operator=step.operator.followed(operators[number:]))
        if isinstance(step.operator, Follows)
        else step
        for number, step in enumerate(steps, 1)
    )


def _listed(versions: Mapping[str, tuple[str, int]], source: Source) -> Listed:
    listing = list_source(resolved(source, versions))
    named = replace(listing.source, unit_bytes=bytes_a_unit(listing.size, ()))
    listing = replace(listing, source=named)
    return Listed(named, cut_units(named, listing), listing.snapshot)


def _identified(operator: Operator) -> str:
    return digest(step_identity(operator))


def bind(schema: pa.Schema, steps: tuple[Step, ...]) -> tuple[pa.Schema, ...]:
    """The schema that is read, then the one after each step; ContractError where one lacks.

    A table needs an `id`, and holds no column that only lives inside a phase.
    """
    schemas = [schema]
    for step in steps:
        schemas.append(step.operator.bind(schemas[-1]))
    last = schemas[-1]
    if columns.INPUT_IDS.name in last.names:
        found = "tokens, which a table does not hold; add an encode step"
        raise ContractError("write", "embedding", "vectors", found)
    stored(last)
    return tuple(schemas)


def finished(unit: Unit, receipts: Mapping[str, Receipt]) -> bool:
    """Whether a unit's receipt, and those of all its parts, are there."""
    return unit.id in receipts and all(name in receipts for name in receipt_names(unit, receipts))


def receipt_names(unit: Unit, receipts: Mapping[str, Receipt]) -> list[str]:
    """The receipts that together stand for a unit, in the order of its rows."""
    parts = receipts[unit.id].parts
    return [unit.id] if parts < 0 else [f"{unit.id}.p{part:05d}" for part in range(parts)]


def resolved(source: Source, versions: Mapping[str, tuple[str, int]]) -> Source:
    """The source with `phase` replaced by the table version that phase committed."""
    if not source.phase:
        return source
    if source.phase not in versions:
        raise ConfigError((f"phase {source.phase!r} has committed no table to read yet",))
    uri, version = versions[source.phase]
    return replace(source, phase="", uri=uri, format="delta", version=version)


def readable(plan: PhasePlan) -> dict[str, object]:
    """The recipe as a person or a later run reads it in the commit."""
    return recipe(plan.source, plan.phase.steps)


def bytes_a_unit(total: int, steps: tuple[Step, ...]) -> int:
    """Enough units to share among workers and to retry cheaply, few enough to list quickly."""
    sized = (step.operator.unit_bytes for step in steps if isinstance(step.operator, Sized))
    most = min(max(total // _MANY_UNITS, _LARGE_UNIT), _LARGEST_UNIT)
    smallest, largest = next(sized, (_SMALLEST_UNIT, most))
    return min(max(total // _UNITS, smallest), largest)


def most_rows(rows: int, size: int, steps: tuple[Step, ...]) -> int:
    """Rows that a source of so many rows (-1: unknown) and bytes may become in the steps."""
    one_each = all(isinstance(step.operator, RowByRow) and step.operator.of_text for step in steps)
    return rows if rows > 0 and one_each else max(rows, size // _BYTES_A_ROW)
