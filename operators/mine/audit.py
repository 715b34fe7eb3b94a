"""What the rules did to a unit: counts, examples, and the masked positives they let through."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass as checked

from operators.arrays import Column, to_column, whole
from operators.base import STRICT
from operators.mine.case import Case, Rule, judged_among, place_of
from operators.mine.draws import Keys, document_keys, keys, mixed
from operators.mine.pool import Marks, Pairs, Places
from operators.mine.rules import ALWAYS, Verdict, apply
from operators.mine.selection import Selected, Selection, select

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
"""Columns of the negatives table for its audit; `masked_left` goes with `dropped_rules`.

candidates: proposed before the rules. short: fewer left than asked for. masked: positives hidden;
masked_found: of them, proposed; masked_left: of them, left after each rule; masked_mined: of them,
selected. The other dropped_* are a few examples of what a rule dropped, with their places.
"""


@checked(frozen=True, config=STRICT)
class Masking:
    """How the false-negative rate is estimated and how much is shown."""

    share: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Of a query's positives hidden, where it has two or more: at least one, never all; 0: none."""
    examples: Annotated[int, Field(ge=0, le=16)] = 2
    """Dropped candidates kept as examples for each query; positives are none."""
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
    """AUDIT, one row a query of the unit; the rules are asked again with some positives hidden."""
    case = mined.case
    proposed = case.pool.sources != 0
    masked = _masked(mined, masking)
    return pa.table(
        [
            _counted(case, case.pool.query[proposed]),
            pa.array(mined.selected.short),
            *masked,
            *_examples(mined, masking),
        ],
        schema=AUDIT,
    )


def hidden(case: Case, masking: Masking) -> Marks:
    """Which positives are masked: drawn by (seed, query id, document id)."""
    query = case.positives.query
    counts = np.bincount(query, minlength=len(case.asked))
    number = np.clip(np.rint(masking.share * counts), 1, counts - 1).astype(np.int64)
    if masking.share == 0 or not number.any():
        return np.zeros(len(query), np.bool_)
    drawn = _drawn(case, query, case.positives.document, masking.seed, "mask")
    order = np.lexsort((drawn, query))
    marks = np.zeros(len(query), np.bool_)
    marks[order] = place_of(query) < number[query]
    return marks


def _masked(mined: Mined, masking: Masking) -> list[pa.Array]:
    """Hidden, proposed, left after each rule and selected: one value a query."""
    case = mined.case
    marks = hidden(case, masking)
    away, stay = _only(case.positives, marks), _only(case.positives, ~marks)
    affected = np.isin(case.pool.query, away.query)
    again = replace(case, pool=case.pool.only(affected), positives=stay)
    verdict = apply(mined.rules, again)
    those = judged_among(again.pool, away) & (again.pool.sources != 0)
    dropped = Verdict(verdict.rules, verdict.dropped_by[those]).counts(again.pool.only(those))
    found = np.bincount(again.pool.query[those], minlength=len(case.asked))
    left = again.pool.only(verdict.kept)
    kept = select(left, case.asked.ids, mined.selection, stay).kept
    return [
        _counted(case, away.query),
        pa.array(found.astype(np.int32)),
        to_column((found[:, None] - np.cumsum(dropped, axis=1)).astype(np.int32)),
        _counted(case, left.query[kept & those[verdict.kept]]),
    ]


def _examples(mined: Mined, masking: Masking) -> list[pa.Array]:
    """Some of what a rule dropped, but what `ALWAYS` drops: lists, one a query."""
    pool, verdict = mined.case.pool, mined.verdict
    found = np.flatnonzero((verdict.dropped_by >= len(ALWAYS)) & (pool.sources != 0))
    drawn = _drawn(mined.case, pool.query[found], pool.document[found], masking.seed, "examples")
    found = found[np.lexsort((drawn, pool.query[found]))]
    found = np.sort(found[place_of(pool.query[found]) < masking.examples])
    counts = np.bincount(pool.query[found], minlength=pool.queries)
    offsets: Any = pa.array(np.append(0, np.cumsum(counts)).astype(np.int32))
    documents = pool.documents.take(pool.document[found])
    values: list[Column] = [
        documents["id"],
        pa.array(np.array(verdict.rules)[verdict.dropped_by[found]], pa.string()),
        pa.array(pool.score[found]),
        documents["content_hash"],
        documents["source_file"],
        documents["source_row"],
    ]
    return [pa.ListArray.from_arrays(offsets, whole(value)) for value in values]


def _drawn(case: Case, query: Places, document: Places, seed: int, purpose: str) -> Keys:
    ids = keys(case.asked.ids, seed, purpose)
    return mixed(ids[query], document_keys(case.pool.documents["id"], document))


def _counted(case: Case, query: Places) -> pa.Array:
    return pa.array(np.bincount(query, minlength=len(case.asked)).astype(np.int32))


def _only(pairs: Pairs, marks: Marks) -> Pairs:
    return Pairs(pairs.query[marks], pairs.document[marks], pairs.score[marks])
