"""What a whole pipeline will do, phases that read tables not yet there included; writes nothing."""

import math
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pyarrow as pa

from operators.beside import besides
from operators.storage import uri as store
from operators.storage.parquet import write_rows
from operators.storage.stored import stored
from operators.text.mapping import source_schema
from operators.text.source import with_defaults
from pipelines.choice import decided, settled
from pipelines.estimate import Estimate, Figure, estimate
from pipelines.fit import pinned
from pipelines.listing import list_source
from pipelines.plan import PhasePlan, bind, placed, plan_phase
from pipelines.spec import Phase, Pipeline


@dataclass(frozen=True)
class Forecast:
    """One phase as it looks before a run."""

    phase: Phase
    schema: pa.Schema
    """The columns it will commit."""
    plan: PhasePlan | None
    """None where it reads what an earlier phase has yet to commit."""
    found: Estimate | None
    """None where nothing changed, or nothing tells."""

    @property
    def nothing_to_do(self) -> bool:
        """Whether the table already holds this recipe of this source."""
        return self.plan is not None and self.plan.unchanged


def forecasts(pipeline: Pipeline, *, probe: bool, elsewhere: bool = False) -> Iterator[Forecast]:
    """Plan and estimate the phases in order.

    A phase that reads one whose table is not there yet is bound to the columns that will be, and
    estimated on the sampled rows that the earlier phase made, if that got so far. Models are timed
    where `probe` says so; with `elsewhere`, where the run will not be on this machine, those of a
    phase that asks for GPUs only if there is one here.
    """
    price = pipeline.budget.price_per_hour
    before: dict[str, Forecast] = {}
    timing = _Timing(probe, elsewhere)
    for phase in pipeline.phases:
        source = before.get(phase.read.phase)
        if _awaits(phase, before):
            forecast = _bound(phase, source)
        elif source is None or source.nothing_to_do:
            forecast = _planned(phase, before, price, timing)
        else:
            forecast = _supposed(phase, source, price, timing)
        before[phase.name] = forecast
        yield forecast


def bound(phase: Phase, committed: pa.Schema | None) -> tuple[pa.Schema, ...]:
    """The schemas of a phase that reads a table of those columns, or (None) a source of its own."""
    if committed is None:
        return bind(list_source(phase.read).schema, placed(phase.steps))
    return bind(_columns(phase, committed), placed(phase.steps))


@dataclass(frozen=True)
class _Timing:
    """Whether models are timed here."""

    probe: bool
    elsewhere: bool

    def refused(self, phase: Phase) -> str:
        """Why those of a phase are not; empty where they are."""
        if not self.probe:
            return "no model was loaded"
        if not self.elsewhere or not any(step.resources.gpus for step in phase.steps):
            return ""
        from operators.encode import device

        return "no GPU is here to time it on" if device.pick("auto").type == "cpu" else ""


def _awaits(phase: Phase, before: Mapping[str, Forecast]) -> bool:
    """Whether a step reads, beside its input, what an earlier phase has yet to commit."""
    named = {found.phase for step in phase.steps for found in besides(step.operator)}
    return any(not before[name].nothing_to_do for name in named & before.keys())


def _bound(phase: Phase, source: Forecast | None) -> Forecast:
    """Columns only: a table that the steps need is not there to be asked."""
    committed = None if source is None else source.schema
    return Forecast(phase, bound(phase, committed)[-1], None, None)


def _columns(phase: Phase, committed: pa.Schema) -> pa.Schema:
    schema = stored(committed)
    named = with_defaults(phase.read, "delta", as_it_is="text" not in schema.names)
    return source_schema(named, schema)


def _planned(
    phase: Phase, before: Mapping[str, Forecast], price: float, timing: _Timing
) -> Forecast:
    versions = {
        name: (forecast.phase.write.table, forecast.plan.parent)
        for name, forecast in before.items()
        if forecast.plan is not None
    }
    plan = plan_phase(pinned(decided(phase), versions), versions)
    to_do = bool(plan.units) and not plan.unchanged
    untimed = timing.refused(phase) if to_do else ""
    if to_do and not untimed:
        plan = settled(plan, lambda chosen: plan_phase(pinned(chosen, versions), versions))
    read = plan if plan.built_on is None else replace(plan, units=plan.built_on.units)
    idle = plan.unchanged or not read.units
    found = None if idle else estimate(read, price, untimed=untimed)
    return Forecast(phase, plan.schemas[-1], plan, found)


def _supposed(phase: Phase, source: Forecast, price: float, timing: _Timing) -> Forecast:
    schema = bound(phase, source.schema)[-1]
    earlier = source.found
    if earlier is None or not earlier.sample.complete or not len(earlier.sample.good):
        return Forecast(phase, schema, None, None)
    if not phase.read.text and "text" not in source.schema.names:  # rows of a Delta table alone
        return Forecast(phase, schema, None, None)
    with _held(earlier.sample.good) as uri:
        read = replace(phase.read, phase="", uri=uri, format="parquet")
        plan = plan_phase(replace(pinned(decided(phase)), read=read))
        untimed = timing.refused(phase)
        if not untimed:
            plan = settled(plan, lambda chosen: plan_phase(pinned(chosen)))
        found = estimate(plan, price, untimed=untimed, rows=_coming(earlier))
    return Forecast(phase, schema, None, found)


def _coming(earlier: Estimate) -> Figure:
    """Rows that a phase is estimated to commit."""
    sample = earlier.sample
    share = len(sample.good) / max(sample.read * sample.kept, 1)
    margin = earlier.rows.margin * share
    if share != 1 and sample.read < earlier.rows.value:
        margin += share * earlier.rows.value / math.sqrt(sample.read)
    how = f"{share:.3g} for each row of the phase before"
    return Figure(earlier.rows.value * share, margin, how)


@contextmanager
def _held(rows: pa.Table) -> Iterator[str]:
    """The rows as a Parquet file in this process's memory, for as long as it is needed."""
    uri = f"memory://corpusmill/{uuid.uuid4().hex}.parquet"
    write_rows(uri, rows)
    try:
        yield uri
    finally:
        store.delete([uri])
