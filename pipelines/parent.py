"""What a run builds on: the version before it, and how much of that is still true."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from operators import columns
from operators.base import Fitted, RowByRow
from operators.errors import TableError
from operators.storage.stored import stored
from operators.storage.table import Table, TableFile
from operators.text.places import relative
from operators.text.source import Unit
from pipelines.differences import differences
from pipelines.fingerprint import recipe
from pipelines.listing import Listing
from pipelines.sources import Known, files_of, read_sources
from pipelines.units import cut_units

if TYPE_CHECKING:
    from pipelines.plan import PhasePlan

_NAMED = (columns.ID.name, columns.CONTENT_HASH.name)
_PLACED = (columns.SOURCE_FILE, columns.SOURCE_ROW)


@dataclass(frozen=True)
class Parent:
    """The version that a run builds on, and what of its rows and vectors the run may keep."""

    version: int
    files: tuple[TableFile, ...]
    touched: frozenset[str] | None
    """Source files that changed or went, whose rows are all written anew; None: every file."""
    takes: int
    """Steps that a text which is there is spared: all, those before the codecs, or none.

    What they would make of it stands in a row of this version.
    """
    codecs: int
    """Steps after those, for which the vectors that are there are enough."""
    units: tuple[Unit, ...]
    """What the run reads: the source files that are new or changed."""
    source_files: int
    """Files of the source, those that need no reading counted."""
    why: tuple[str, ...]
    """Which fields of the recipe changed since; the recipe is the same where there are none."""

    @property
    def reuses(self) -> bool:
        """Whether its vectors are those that this run would make of the same texts."""
        return self.takes > 0

    def told(self) -> str:
        """What a run will read, and why no less."""
        again = "texts that are there keep their vectors" if self.reuses else "all of it made anew"
        if self.reuses and self.codecs:
            again = "texts that are there keep their vectors, which are coded anew"
        if self.touched is not None:
            pieces = {piece.uri for unit in self.units for piece in unit.pieces}
            count, of = f"{len(pieces):,}", f"{self.source_files:,}"
            return f"{count} of {of} source files are new or changed; {again}"
        reason = f" ({'; '.join(self.why)})" if self.why else ""
        return f"every source file is read{reason}; {again}"


def find_parent(plan: "PhasePlan") -> Parent | None:
    """What a run may build on; None for a new or foreign table, one that adds, and a rerun.

    Also None where rows of the table cannot be told by id and content. TableError where they are
    not those of its files.
    """
    table = Table(plan.phase.write.table)
    if plan.committed is None or plan.accumulates:
        return None
    table.check_rows(plan.parent)
    there, schema = table.schema(plan.parent), plan.schemas[-1]
    if not set(_NAMED) <= set(there.names) & set(schema.names):
        return None
    files, source = tuple(table.files(plan.parent)), plan.listing.source
    row_by_row, of_text = _kinds(plan)
    takes = _taken(plan, plan.committed, there) if of_text else 0
    codecs = len(plan.phase.steps) - takes
    known = None
    if row_by_row and not source.limit and _holds(there, [*schema, *_PLACED]):
        same_recipe = plan.committed.get("recipe") == plan.fingerprints["recipe"]
        known = _recorded(table, plan.committed) if same_recipe else None
    readable: Any = plan.committed.get("readable") or {}
    why = differences(readable, recipe(source, plan.phase.steps))
    count = len(plan.listing.files)
    if known is None:
        return Parent(plan.parent, files, None, takes, codecs, plan.units, count, why)
    now = files_of(plan.listing)
    gone = {name for name, found in known.items() if now.get(name) != found}
    again = {name for name, found in now.items() if known.get(name) != found}
    fresh = cut_units(source, _only(plan.listing, again))
    touched = frozenset(gone | again)
    return Parent(plan.parent, files, touched, takes, codecs, fresh, count, ())


def _kinds(plan: "PhasePlan") -> tuple[bool, bool]:
    """Whether the steps make of each row what they would among any others; of its text alone."""
    operators = [step.operator for step in plan.phase.steps]
    rows = [each for each in operators if isinstance(each, RowByRow)]
    row_by_row = bool(plan.listing.source.text) and len(rows) == len(operators)
    return row_by_row, row_by_row and all(each.of_text for each in rows)


def _taken(plan: "PhasePlan", committed: dict[str, Any], there: pa.Schema) -> int:
    """The most steps whose columns the table holds as this run would make them (DESIGN §4).

    Another codec alone leaves the encoding as it was: where the floats were kept they are coded
    anew. Floats that a codec rounded say so in their metadata, and are not taken for the encoder's.
    """
    recorded = committed.get("fingerprints") or {}
    if recorded.get("encoding") != plan.fingerprints["encoding"]:
        return 0
    fitted = [isinstance(step.operator, Fitted) for step in plan.phase.steps]
    first = fitted.index(True) if True in fitted else len(fitted)
    ends = [first] if all(fitted[first:]) else []
    if recorded.get("codec") == plan.fingerprints["codec"]:
        ends.insert(0, len(fitted))
    for end in ends:
        made = [field for field in plan.schemas[end] if field.name not in plan.schemas[0].names]
        if made and _holds(there, made):
            return end
    return 0


def _holds(schema: pa.Schema, fields: list[pa.Field]) -> bool:
    """Whether a table has these columns, of the same type and decoded by the same artefact."""
    wanted = stored(pa.schema(fields))
    return all(
        field.name in schema.names and schema.field(field.name).equals(field, check_metadata=True)
        for field in wanted
    )


def _recorded(table: Table, committed: dict[str, Any]) -> Known | None:
    path = committed.get("source_files")
    if not path:
        return None
    try:
        return read_sources(table.uri, path)
    except TableError:
        return None


def _only(listing: Listing, names: set[str]) -> Listing:
    """The listing as if its source held these files alone."""
    chosen = [
        n for n, file in enumerate(listing.files) if relative(listing.root, file.uri) in names
    ]
    files = tuple(listing.files[n] for n in chosen)
    footers = tuple(listing.footers[n] for n in chosen) if listing.footers else ()
    return replace(listing, files=files, footers=footers)
