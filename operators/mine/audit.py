"""What the rules did: counts, examples, and how many masked positives would have been mined."""

from dataclasses import dataclass
from typing import Annotated

import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass as checked

from operators.base import STRICT
from operators.mine.case import Case, Rule
from operators.mine.rules import Verdict
from operators.mine.selection import Selected, Selection

_TYPES: dict[str, pa.DataType] = {
    "candidates": pa.int32(),
    "short": pa.bool_(),
    "masked": pa.int32(),
    "masked_found": pa.int32(),
    "masked_left": pa.list_(pa.int32()),
    "masked_mined": pa.int32(),
    "dropped_ids": pa.list_(pa.string()),
    "dropped_by": pa.list_(pa.string()),
    "dropped_scores": pa.list_(pa.float32()),
    "dropped_hashes": pa.list_(pa.binary()),
    "dropped_files": pa.list_(pa.string()),
    "dropped_rows": pa.list_(pa.int64()),
}
AUDIT = pa.schema(_TYPES)
"""Columns of the negatives table that `summary` reads; `masked_left` goes with `dropped_rules`.

candidates: proposed before the rules. short: fewer left than asked for. masked: positives hidden;
masked_found: of them, proposed; masked_left: of them, left after each rule; masked_mined: of them,
selected. dropped_*: at most `examples` seeded examples of what a rule dropped, with their locator.
"""


@checked(frozen=True, config=STRICT)
class Masking:
    """How the false-negative rate is estimated and how much is shown."""

    share: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Of a query's positives hidden, where it has two or more: at least one, never all; 0: none."""
    examples: Annotated[int, Field(ge=0, le=16)] = 2
    """Dropped candidates that are kept as examples for each query."""
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Mined:
    """What happened to a unit's candidates."""

    case: Case
    rules: tuple[Rule, ...]
    selection: Selection
    verdict: Verdict
    selected: Selected
    """Of the candidates that the verdict kept."""


def columns(mined: Mined, masking: Masking) -> pa.Table:
    """AUDIT, one row a query of the unit; asks the rules again with some positives hidden."""
    raise NotImplementedError
