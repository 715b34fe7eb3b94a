"""A few rows from all over a source, read, measured and taken through the steps."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators import columns
from operators.errors import DamageError
from operators.text.lines import longest_line, piece_lines
from operators.text.rows import piece_records, read_unit
from operators.text.source import Piece, Source, Unit
from pipelines.plan import PhasePlan
from pipelines.rows import accepted, rejected, through
from pipelines.work import open_steps

ROWS = 512
PIECES = 16
MODEL_ROWS = 128
"""Rows that a model is timed on: on two cores a small one takes ten seconds for them."""
_LINES_COMPRESSED = 1000
_AT_ONCE = 8
"""Pieces that are read side by side: a small file on an object store is a wait and few bytes."""


@dataclass(frozen=True)
class Sample:
    """Rows taken through the first steps: what they became and what each step took."""

    read: int
    """Rows that were read, bad ones counted, before any step."""
    good: pa.Table
    """The good rows after the last step that was taken."""
    rejected: int
    tokens: pa.Table | None
    """Token count and truncation of every row that was tokenized."""
    seconds: Mapping[int, float]
    """By the step's number, for all sampled rows."""
    kept: float
    """Share of the rows that went through a model; what they took is scaled to all of them."""
    steps: int
    """How many steps were taken."""
    complete: bool
    """Those were all of the phase's steps."""


@dataclass(frozen=True)
class Lines:
    """Records of text files: their bytes, and how many times larger they are than stored."""

    sizes: npt.NDArray[np.int64]
    inflated: float
    complete: bool
    """They are all the records there are."""


def sampled_rows(
    source: Source, units: Sequence[Unit], rows: int = ROWS, pieces: int = PIECES
) -> pa.Table:
    """Up to `rows` rows as they are read, from the heads of at most `pieces` pieces of units.

    Damaged files are passed over; DamageError when all of the chosen ones are.
    """
    chosen = _spread(units, pieces)
    each = -(-rows // len(chosen))
    return _joined(_read_head(source, unit, piece, each) for unit, piece in chosen)


def rows_from_all_over(source: Source, units: Sequence[Unit], rows: int) -> pa.Table:
    """Up to `rows` rows as they are read, from the heads of as many pieces of units as it takes.

    Where those of a few hold too little, more pieces are read; where all hold too little, longer
    heads of those that go on. Damaged files are passed over as above.
    """
    pieces = _pieces(units)
    heads: dict[int, pa.Table | DamageError] = {}
    read: dict[int, int] = {}
    while (missing := rows - (found := sum(map(_size, heads.values())))) > 0:
        new = [place for place in range(len(pieces)) if place not in read]
        going_on = [place for place, most in read.items() if _size(heads[place]) == most]
        if not (wanted := new or going_on):
            break
        count = max(PIECES, min(4 * len(read), missing * len(read) // max(found, 1) + 1))
        chosen = [wanted[place] for place in _places(len(wanted), count)]
        read |= {place: read.get(place, 0) - (-missing // len(chosen)) for place in chosen}
        more = _read_heads(source, [(*pieces[place], read[place]) for place in chosen])
        heads |= zip(chosen, more, strict=True)
    return thinned(_joined(heads[place] for place in sorted(heads)), rows)


def thinned(table: pa.Table, most: int) -> pa.Table:
    """At most so many rows of a table, at equal distances."""
    return table if len(table) <= most else table.take(_places(len(table), most))


def sampled_lines(source: Source, units: Sequence[Unit]) -> Lines:
    """Sizes of the records of text files at the places where `sampled_rows` reads."""
    chosen = _spread(units, PIECES)
    most = -(-ROWS // len(chosen))
    found = [list(_sizes(source, piece, most)) for _, piece in chosen]
    ended = all(len(sizes) < most for sizes in found)
    complete = ended and len(chosen) == sum(len(unit.pieces) for unit in units)
    sizes = np.array([size for some in found for size in some], np.int64)
    return Lines(sizes, _inflated(source, [piece for _, piece in chosen]), complete)


def take_sample(plan: PhasePlan, steps: int) -> Sample:
    """Take rows from all over the plan's source through its first `steps` steps, timing each."""
    table = sampled_rows(replace(plan.source, sample=1.0), plan.units)
    read, tokens = len(table), None
    seconds: dict[int, float] = {}
    kept = 1.0
    with ExitStack() as stack:
        for number, transform in open_steps(plan.job, range(steps), stack):
            operator = plan.phase.steps[number].operator
            if operator.loads_model and len(table) > MODEL_ROWS:
                kept *= MODEL_ROWS / len(table)
                table = thinned(table, MODEL_ROWS)
            clock = time.perf_counter()
            table = through(transform, table, plan.schemas[number + 1])
            seconds[number] = (time.perf_counter() - clock) / kept
            if tokens is None and columns.N_TOKENS.name in table.column_names:
                tokens = accepted(table, pa.schema((columns.N_TOKENS, columns.TRUNCATED)))
    good = accepted(table, plan.schemas[steps])
    complete = steps == len(plan.phase.steps)
    return Sample(read, good, len(rejected(table)), tokens, seconds, kept, steps, complete)


def _spread(units: Sequence[Unit], most: int) -> list[tuple[Unit, Piece]]:
    """Pieces at equal distances over all that may be readable."""
    pieces = _pieces(units)
    return [pieces[place] for place in _places(len(pieces), most)]


def _pieces(units: Sequence[Unit]) -> list[tuple[Unit, Piece]]:
    return [(unit, piece) for unit in units if unit.rows for piece in unit.pieces]


def _read_heads(
    source: Source, wanted: Sequence[tuple[Unit, Piece, int]]
) -> list[pa.Table | DamageError]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda each: _read_head(source, *each), wanted))


def _read_head(source: Source, unit: Unit, piece: Piece, rows: int) -> pa.Table | DamageError:
    few = replace(unit, pieces=(_head(piece, rows),), splits=False)
    try:
        return pa.concat_tables([table for _, table in read_unit(source, few)])
    except DamageError as error:
        return error


def _joined(heads: Iterable[pa.Table | DamageError]) -> pa.Table:
    """The rows of heads; where all of them are damaged, the last one's error."""
    every = list(heads)
    whole = [head for head in every if isinstance(head, pa.Table)]
    damaged = [head for head in every if isinstance(head, DamageError)]
    if damaged and not whole:
        raise damaged[-1]
    return pa.concat_tables(whole)


def _size(head: pa.Table | DamageError) -> int:
    return 0 if isinstance(head, DamageError) else len(head)


def _places(count: int, most: int) -> npt.NDArray[np.int64]:
    """At most `most` places at equal distances among `count`."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(np.int64)


def _head(piece: Piece, rows: int) -> Piece:
    most = rows if piece.max_rows < 0 else min(rows, piece.max_rows)
    return replace(piece, max_rows=most)


def _sizes(source: Source, piece: Piece, most: int) -> Iterator[int]:
    try:
        for record in piece_records(source, _head(piece, most)):
            yield record.size + 1
    except DamageError:
        return


def _inflated(source: Source, pieces: Sequence[Piece]) -> float:
    """How much the sampled lines shrink when they are compressed as their files are."""
    plain = packed = 0
    for piece in pieces:
        if piece.compression:
            lines = b"\n".join(_texts(source, piece))
            codec: Any = pa.Codec(piece.compression)
            plain, packed = plain + len(lines), packed + len(codec.compress(lines, asbytes=True))
    return plain / packed if packed else 1.0


def _texts(source: Source, piece: Piece) -> Iterator[bytes]:
    try:
        for line in islice(piece_lines(piece, longest_line(source)), _LINES_COMPRESSED):
            yield line.data or b""
    except DamageError:
        return
