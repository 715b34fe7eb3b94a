"""What a phase will take, measured on a sample through the very steps that will run."""

import math
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators import columns
from operators.base import Transform
from operators.storage.parquet import stored_bytes
from operators.text.rows import read_unit
from operators.text.source import Unit
from pipelines.plan import PhasePlan
from pipelines.rows import accepted, through
from pipelines.work import open_steps

SAMPLE_UNITS = 16
ROWS_A_UNIT = 32
_T95 = 1.96


@dataclass(frozen=True)
class Figure:
    """An estimated number, the half-width of its 95 % interval, and how it was come by."""

    value: float
    margin: float
    how: str


@dataclass(frozen=True)
class Estimate:
    """What a phase will take; a figure is None where the probe was not asked for."""

    rows: Figure
    tokens: Figure | None
    truncated: Figure | None
    bad_rows: Figure
    size: Figure | None
    hours: Figure | None
    cost: Figure | None


@dataclass(frozen=True)
class Sample:
    """Rows taken through the steps: how many there were, what they became, what each step took."""

    read: int
    size: int
    """Source bytes that the sampled rows stand for."""
    good: pa.Table
    tokens: pa.Table | None
    seconds: Mapping[str, float]
    probed: bool


def estimate(plan: PhasePlan, price_per_hour: float, *, probe: bool = True) -> Estimate:
    """Estimate a phase from a sample of its rows; nothing is written.

    Without `probe` no model is loaded, and time, cost and bytes of vectors stay unknown unless
    the table's last run tells a rate. Hours are of the whole phase: each step's seconds a row over
    its workers, the slowest step counting, since steps overlap.
    """
    sample = take_sample(plan, probe=probe)
    rows = _rows(plan, sample)
    tokens, truncated = _tokens(sample, rows)
    bad = 1 - len(sample.good if sample.tokens is None else sample.tokens) / max(sample.read, 1)
    hours = _hours(plan, sample, rows, tokens)
    return Estimate(
        rows=rows,
        tokens=tokens,
        truncated=truncated,
        bad_rows=Figure(
            bad, _share_margin(bad, sample.read), f"share of {sample.read} sampled rows"
        ),
        size=_size(plan, sample, rows),
        hours=hours,
        cost=_cost(plan, hours, price_per_hour),
    )


def take_sample(plan: PhasePlan, *, probe: bool) -> Sample:
    """Take rows from units spread over the source through the steps, or up to the first model."""
    steps = plan.phase.steps
    first = next((n for n, step in enumerate(steps) if step.operator.loads_model), len(steps))
    last = len(steps) if probe else first
    last = next((n for n in range(last) if getattr(steps[n].operator, "needs_fit", False)), last)
    tables = [table for unit in _spread(plan.units) for table in _head(plan, unit)]
    table = pa.concat_tables(tables)
    seconds: dict[str, float] = {}
    tokens = None
    with ExitStack() as stack:
        for number, transform in open_steps(plan.job, range(last), stack):
            table, took = _timed(transform, table, plan.schemas[number + 1])
            seconds[steps[number].operator.name] = took
            if columns.N_TOKENS.name in table.column_names:
                tokens = accepted(table, pa.schema((columns.N_TOKENS, columns.TRUNCATED)))
    good = accepted(table, plan.schemas[last])
    read = sum(len(part) for part in tables)
    share = sum(unit.size * _sampled_share(unit) for unit in _spread(plan.units))
    return Sample(read, int(share), good, tokens, seconds, probed=last == len(steps))


def _spread(units: tuple[Unit, ...]) -> tuple[Unit, ...]:
    return units[:: max(1, math.ceil(len(units) / SAMPLE_UNITS))]


def _head(plan: PhasePlan, unit: Unit) -> list[pa.Table]:
    """The first rows of a unit's first piece, nothing more read than it takes."""
    piece = replace(unit.pieces[0], max_rows=ROWS_A_UNIT)
    few = replace(unit, pieces=(piece,), splits=False)
    return [table for _, table in read_unit(plan.source, few)]


def _sampled_share(unit: Unit) -> float:
    return min(1.0, ROWS_A_UNIT / unit.rows) if unit.rows > 0 else 0.0


def _timed(transform: Transform, table: pa.Table, schema: pa.Schema) -> tuple[pa.Table, float]:
    clock = time.perf_counter()
    out = through(transform, table, schema)
    return out, time.perf_counter() - clock


def _rows(plan: PhasePlan, sample: Sample) -> Figure:
    listing = plan.listing
    if listing.rows >= 0:
        return Figure(listing.rows, 0.0, "counted in the files' footers or lines")
    lengths = pc.binary_length(sample_text(plan)).to_numpy(zero_copy_only=False)
    mean = float(lengths.mean()) + 1
    rows = listing.size / mean
    return Figure(
        rows,
        _T95 * rows * float(lengths.std()) / mean / math.sqrt(max(len(lengths), 1)),
        f"{listing.size:,} bytes over the mean text of {len(lengths)} sampled rows; markup ignored",
    )


def sample_text(plan: PhasePlan) -> pa.ChunkedArray:
    """Texts of the sampled rows."""
    tables = [table for unit in _spread(plan.units) for table in _head(plan, unit)]
    text = pa.concat_tables(tables)[columns.TEXT.name]
    return pc.drop_null(text)


def _tokens(sample: Sample, rows: Figure) -> tuple[Figure | None, Figure | None]:
    if sample.tokens is None or not len(sample.tokens):
        return None, None
    counts = sample.tokens[columns.N_TOKENS.name].to_numpy().astype(np.float64)
    scale = rows.value * len(counts) / max(sample.read, 1)
    margin = _T95 * scale * float(counts.std()) / math.sqrt(len(counts))
    margin += rows.margin * float(counts.mean())
    share = pc.mean(sample.tokens[columns.TRUNCATED.name]).as_py() or 0.0
    how = f"{len(counts)} sampled rows tokenized"
    return (
        Figure(float(counts.mean()) * scale, margin, how),
        Figure(share, _share_margin(share, len(counts)), how),
    )


def _share_margin(share: float, count: int) -> float:
    return _T95 * math.sqrt(max(share * (1 - share), 1e-12) / max(count, 1))


def _size(plan: PhasePlan, sample: Sample, rows: Figure) -> Figure | None:
    if not sample.probed or not len(sample.good):
        return None
    each = stored_bytes(sample.good) / len(sample.good)
    fan_out = len(sample.good) / max(sample.read, 1)
    how = f"{len(sample.good)} sampled rows written to memory as a shard"
    return Figure(each * fan_out * rows.value, each * fan_out * rows.margin, how)


def _hours(plan: PhasePlan, sample: Sample, rows: Figure, tokens: Figure | None) -> Figure | None:
    if not sample.probed:
        return _hours_of_last_run(plan, tokens)
    slowest = 0.0
    for step in plan.phase.steps:
        if step.operator.loads_model:
            seconds = sample.seconds.get(step.operator.name, 0.0) / step.resources.workers
            slowest = max(slowest, seconds)
    share = rows.value / max(sample.read, 1)
    margin = tokens.margin / tokens.value if tokens and tokens.value else 0.0
    hours = slowest * share / 3600
    return Figure(hours, hours * margin, f"the slowest step timed on {sample.read} rows here")


def _hours_of_last_run(plan: PhasePlan, tokens: Figure | None) -> Figure | None:
    counts = (plan.committed or {}).get("counts")
    if not isinstance(counts, dict) or not counts.get("tokens") or tokens is None:
        return None
    seconds = max(
        (
            counts["seconds"].get(step.operator.name, 0.0) / step.resources.workers
            for step in plan.phase.steps
            if step.operator.loads_model
        ),
        default=0.0,
    )
    hours = seconds / 3600 * tokens.value / counts["tokens"]
    return Figure(hours, hours * tokens.margin / tokens.value, "the rate of the table's last run")


def _cost(plan: PhasePlan, hours: Figure | None, price: float) -> Figure | None:
    if hours is None or not price:
        return None
    models = [step for step in plan.phase.steps if step.operator.loads_model]
    workers = max((step.resources.workers for step in models), default=1)
    how = f"hours × {workers} workers × {price:g} an hour"
    return Figure(hours.value * workers * price, hours.margin * workers * price, how)
