"""What a whole pipeline will do, phases that read tables not yet there included; writes nothing."""

import math
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pyarrow as pa

from operators.storage import uri as store
from operators.storage.parquet import write_rows
from operators.storage.stored import stored
from operators.text.mapping import source_schema
from operators.text.source import with_defaults
from pipelines.estimate import Estimate, Figure, estimate
from pipelines.fit import pinned
from pipelines.plan import PhasePlan, bind, plan_phase
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
        return self.plan is not None and self.plan.nothing_to_do


def forecasts(pipeline: Pipeline, *, probe: bool) -> Iterator[Forecast]:
    """Plan and estimate the phases in order.

    A phase that reads one whose table is not there yet is bound to the columns that will be, and
    estimated on the sampled rows that the earlier phase made, if that got so far.
    """
    price = pipeline.budget.price_per_hour
    before: dict[str, Forecast] = {}
    for phase in pipeline.phases:
        source = before.get(phase.read.phase)
        if source is None or source.nothing_to_do:
            forecast = _planned(phase, source, price, probe=probe)
        else:
            forecast = _supposed(phase, source, price, probe=probe)
        before[phase.name] = forecast
        yield forecast


def _planned(phase: Phase, source: Forecast | None, price: float, *, probe: bool) -> Forecast:
    versions = {}
    if source is not None and source.plan is not None:
        versions[source.phase.name] = (source.phase.write.table, source.plan.parent)
    plan = plan_phase(pinned(phase), versions)
    found = None if plan.nothing_to_do else estimate(plan, price, probe=probe)
    return Forecast(phase, plan.schemas[-1], plan, found)


def _supposed(phase: Phase, source: Forecast, price: float, *, probe: bool) -> Forecast:
    columns = source_schema(with_defaults(phase.read, "delta"), stored(source.schema))
    schema = bind(columns, phase.steps)[-1]
    earlier = source.found
    if earlier is None or not earlier.sample.complete or not len(earlier.sample.good):
        return Forecast(phase, schema, None, None)
    with _held(earlier.sample.good) as uri:
        read = replace(phase.read, phase="", uri=uri, format="parquet")
        plan = plan_phase(replace(pinned(phase), read=read))
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
