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


def forecasts(pipeline: Pipeline, *, probe: bool) -> Iterator[Forecast]:
    """Plan and estimate the phases in order.

    A phase that reads one whose table is not there yet is bound to the columns that will be, and
    estimated on the sampled rows that the earlier phase made, if that got so far.
    """
    price = pipeline.budget.price_per_hour
    before: dict[str, Forecast] = {}
    for phase in pipeline.phases:
        source = before.get(phase.read.phase)
        if _awaits(phase, before):
            forecast = _bound(phase, source)
        elif source is None or source.nothing_to_do:
            forecast = _planned(phase, before, price, probe=probe)
        else:
            forecast = _supposed(phase, source, price, probe=probe)
        before[phase.name] = forecast
        yield forecast


def bound(phase: Phase, committed: pa.Schema | None) -> tuple[pa.Schema, ...]:
    """The schemas of a phase that reads a table of those columns, or (None) a source of its own."""
    if committed is None:
        return bind(list_source(phase.read).schema, placed(phase.steps))
    return bind(_columns(phase, committed), placed(phase.steps))


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
    phase: Phase, before: Mapping[str, Forecast], price: float, *, probe: bool
) -> Forecast:
    versions = {
        name: (forecast.phase.write.table, forecast.plan.parent)
        for name, forecast in before.items()
        if forecast.plan is not None
    }
    plan = plan_phase(pinned(decided(phase), versions), versions)
    if probe and not plan.unchanged and plan.units:
        plan = settled(plan, lambda chosen: plan_phase(pinned(chosen, versions), versions))
    read = plan if plan.built_on is None else replace(plan, units=plan.built_on.units)
    idle = plan.unchanged or not read.units
    found = None if idle else estimate(read, price, probe=probe)
    return Forecast(phase, plan.schemas[-1], plan, found)


def _supposed(phase: Phase, source: Forecast, price: float, *, probe: bool) -> Forecast:
    schema = bound(phase, source.schema)[-1]
    earlier = source.found
    if earlier is None or not earlier.sample.complete or not len(earlier.sample.good):
        return Forecast(phase, schema, None, None)
    if not phase.read.text and "text" not in source.schema.names:  # rows of a Delta table alone
        return Forecast(phase, schema, None, None)
    with _held(earlier.sample.good) as uri:
        read = replace(phase.read, phase="", uri=uri, format="parquet")
        plan = plan_phase(replace(pinned(decided(phase)), read=read))
        if probe:
            plan = settled(plan, lambda chosen: plan_phase(pinned(chosen)))
        found = estimate(plan, price, probe=probe, rows=_coming(earlier))
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
