"""What a phase will take, measured on a sample through the very steps that will run."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from operators import columns
from operators.storage.parquet import stored_bytes
from operators.text.source import Piece, Source
from pipelines.fit import unfitted
from pipelines.plan import PhasePlan
from pipelines.sample import Sample, sampled_lines, take_sample
from pipelines.spec import workers_of

_T95 = 1.96
_DOUBT_COMPRESSED = 0.1
"""Share by which a whole file may be compressed better or worse than its first lines."""


@dataclass(frozen=True)
class Figure:
    """An estimated number, the half-width of its 95 % interval, and how it was come by."""

    value: float
    margin: float
    how: str


@dataclass(frozen=True)
class Estimate:
    """What a phase will take; a figure is None where nothing tells, and `unknown` says why."""

    rows: Figure
    tokens: Figure | None
    truncated: Figure | None
    bad_rows: Figure
    size: Figure | None
    hours: Figure | None
    cost: Figure | None
    unknown: str
    sample: Sample


def estimate(
    plan: PhasePlan, price_per_hour: float, *, untimed: str = "", rows: Figure | None = None
) -> Estimate:
    """Estimate a phase from a sample of its rows; nothing is written.

    `rows` is given where the source is itself only a sample.

    `untimed` says why no model is to be loaded, if so; then time, cost and bytes of vectors stay
    unknown unless the table's last run tells a rate. Hours are of the whole phase: each step's
    seconds a row over its workers, the slowest step counting, since steps overlap.
    """
    last, unknown = _steps_to_take(plan, untimed)
    sample = take_sample(plan, last)
    rows = _kept(plan.source, rows or _counted(plan))
    tokens, truncated = _tokens(sample, rows)
    hours = _hours(plan, sample, rows, tokens)
    return Estimate(
        rows=rows,
        tokens=tokens,
        truncated=truncated,
        bad_rows=_bad_rows(sample, rows),
        size=_size(plan, sample, rows),
        hours=hours,
        cost=_cost(plan, hours, price_per_hour),
        unknown=unknown,
        sample=sample,
    )


def _steps_to_take(plan: PhasePlan, untimed: str) -> tuple[int, str]:
    """How many steps a sample can go through, and why not all."""
    steps = plan.phase.steps
    stops = {
        number: f"{steps[number].operator.name} has to learn" for number in unfitted(plan.phase)
    }
    if untimed:
        models = [number for number, step in enumerate(steps) if step.operator.loads_model]
        stops |= dict.fromkeys(models, untimed)
    last = min(stops, default=len(steps))
    return last, stops.get(last, "")


def _counted(plan: PhasePlan) -> Figure:
    """Rows of the units, bad ones counted."""
    if all(unit.rows >= 0 for unit in plan.units):
        rows = sum(unit.rows for unit in plan.units)
        return Figure(rows, 0.0, "counted in the files' footers")
    return _rows_of_text(plan)


def _kept(source: Source, found: Figure) -> Figure:
    """Those rows that `limit` and `sample` leave."""
    if source.limit and found.value + found.margin > source.limit:
        below = max(0.0, source.limit - found.value + found.margin)
        margin = below if found.value < source.limit else 0.0
        found = Figure(min(found.value, source.limit), margin, f"{found.how}, at most the limit")
    if source.sample < 1:
        chance = _T95 * math.sqrt(found.value * source.sample * (1 - source.sample))
        how = f"{source.sample:g} of those {found.how}"
        found = Figure(found.value * source.sample, found.margin * source.sample + chance, how)
    return found


def _rows_of_text(plan: PhasePlan) -> Figure:
    lines = sampled_lines(plan.source, plan.units)
    count = len(lines.sizes)
    if lines.complete or not count:
        return Figure(count, 0.0, "all of them read")
    stored = sum(_stored(piece) for unit in plan.units for piece in unit.pieces)
    mean = float(lines.sizes.mean())
    rows = stored * lines.inflated / mean
    margin = _T95 * rows * float(lines.sizes.std()) / mean / math.sqrt(count)
    how = f"{stored:,} bytes over the mean of {count} sampled rows"
    if lines.inflated > 1:
        margin, how = margin + _DOUBT_COMPRESSED * rows, f"{how}, compressed as those are"
    return Figure(rows, margin, how)


def _stored(piece: Piece) -> int:
    return piece.stop - piece.start


def _tokens(sample: Sample, rows: Figure) -> tuple[Figure | None, Figure | None]:
    if sample.tokens is None or not len(sample.tokens):
        return None, None
    counts = sample.tokens[columns.N_TOKENS.name].to_numpy().astype(np.float64)
    each = float(counts.sum()) / max(sample.read, 1)
    margin = _of_mean(counts, sample, rows) * rows.value * len(counts) / max(sample.read, 1)
    how = f"{len(counts)} sampled rows tokenized"
    share = pc.mean(sample.tokens[columns.TRUNCATED.name]).as_py() or 0.0
    return (
        Figure(each * rows.value, margin + rows.margin * each, how),
        Figure(share, _of_share(share, len(counts), _left(sample, rows)), how),
    )


def _bad_rows(sample: Sample, rows: Figure) -> Figure:
    seen = sample.rejected + len(sample.good)
    share = sample.rejected / max(seen, 1)
    return Figure(share, _of_share(share, seen, _left(sample, rows)), f"of {seen} sampled rows")


def _of_mean(values: npt.NDArray[np.float64], sample: Sample, rows: Figure) -> float:
    """Half-width of a mean's interval; nothing when every row was sampled."""
    return _T95 * float(values.std()) / math.sqrt(len(values)) * _left(sample, rows)


def _of_share(share: float, count: int, left: float) -> float:
    """Half-width of a share's interval; of what was never seen, the rule of three."""
    count = max(count, 1)
    if share in {0.0, 1.0}:
        return min(1.0, 3 / count) * left
    return _T95 * math.sqrt(share * (1 - share) / count) * left


def _left(sample: Sample, rows: Figure) -> float:
    """The finite population's correction: 0 when the sample holds all rows, 1 when it is small."""
    return math.sqrt(max(0.0, 1 - sample.read / max(rows.value, 1)))


def _size(plan: PhasePlan, sample: Sample, rows: Figure) -> Figure | None:
    """Bytes of all shards: so much for each, and so much for each row."""
    count = len(sample.good)
    if not sample.complete or count < 2:
        return None
    whole, half = stored_bytes(sample.good), stored_bytes(sample.good.slice(0, count // 2))
    each = (whole - half) / (count - count // 2)
    fixed = max(0.0, whole - each * count)
    fan_out = count / max(sample.read * sample.kept, 1)
    how = f"{count} sampled rows written to memory as a shard"
    return Figure(
        fixed * _shards(plan) + each * fan_out * rows.value, each * fan_out * rows.margin, how
    )


def _shards(plan: PhasePlan) -> int:
    """One a unit; a file that is read in one pass gives one for every `unit_bytes` of its text."""
    passes = [unit for unit in plan.units if unit.splits]
    if not passes:
        return len(plan.units)
    inflated = sampled_lines(plan.source, passes).inflated
    parts = sum(math.ceil(unit.size * inflated / plan.source.unit_bytes) for unit in passes)
    return len(plan.units) - len(passes) + parts


def _hours(plan: PhasePlan, sample: Sample, rows: Figure, tokens: Figure | None) -> Figure | None:
    models = [n for n, step in enumerate(plan.phase.steps) if step.operator.loads_model]
    if any(number >= sample.steps for number in models):
        return _hours_of_last_run(plan, tokens)
    slowest = max((_seconds(plan, number, sample) for number in models), default=0.0)
    slowest = slowest or sum(sample.seconds.values())
    hours = slowest * rows.value / max(sample.read, 1) / 3600
    timed = round(sample.kept * sample.read)
    how = f"the slowest step timed here on {timed} rows"
    return Figure(hours, hours * (_relative(tokens or rows) + _spread_of(sample, timed)), how)


def _spread_of(sample: Sample, timed: int) -> float:
    """Relative half-width for having timed only some of the sampled rows."""
    if sample.tokens is None or sample.kept == 1 or not len(sample.tokens):
        return 0.0
    counts = sample.tokens[columns.N_TOKENS.name].to_numpy().astype(np.float64)
    return _T95 * float(counts.std()) / max(float(counts.mean()), 1.0) / math.sqrt(max(timed, 1))


def _seconds(plan: PhasePlan, number: int, sample: Sample) -> float:
    return sample.seconds[number] / plan.phase.steps[number].resources.most


def _hours_of_last_run(plan: PhasePlan, tokens: Figure | None) -> Figure | None:
    counts = (plan.committed or {}).get("counts")
    if not isinstance(counts, dict) or not counts.get("tokens") or tokens is None:
        return None
    shares = (
        counts["seconds"].get(name, 0.0) / workers
        for name, workers in workers_of(plan.phase.steps).items()
    )
    seconds = max(shares, default=0.0)
    hours = seconds / 3600 * tokens.value / counts["tokens"]
    return Figure(hours, hours * _relative(tokens), "the rate of the table's last run")


def _relative(figure: Figure) -> float:
    return figure.margin / figure.value if figure.value else 0.0


def _cost(plan: PhasePlan, hours: Figure | None, price: float) -> Figure | None:
    if hours is None or not price:
        return None
    models = [step for step in plan.phase.steps if step.operator.loads_model]
    workers = max((step.resources.most for step in models), default=1)
    how = f"hours × {workers} workers × {price:g} an hour"
    return Figure(hours.value * workers * price, hours.margin * workers * price, how)
