"""What `plan` prints of a phase: the DAG, what is there, and every figure with its origin."""

from collections.abc import Iterator

from pipelines.estimate import Estimate, Figure
from pipelines.forecast import Forecast
from pipelines.plan import PhasePlan
from pipelines.spec import Phase, Step


def outlook(forecast: Forecast) -> Iterator[str]:
    """The lines about one phase."""
    phase = forecast.phase
    yield f"phase {phase.name}: {_dag(phase)}"
    yield f"  {_state(forecast)}"
    yield f"  columns: {', '.join(forecast.schema.names)}"
    if forecast.found is not None:
        for name, value, how in _figures(forecast.found):
            yield f"  {name:<17} {value:<24} {how}".rstrip()


def _dag(phase: Phase) -> str:
    source = phase.read.uri or f"phase {phase.read.phase}"
    steps = [
        f"{step.operator.name} × {_workers(step)}"
        if step.operator.loads_model
        else step.operator.name
        for step in phase.steps
    ]
    return " → ".join([source, *steps, phase.write.table])


def _workers(step: Step) -> str:
    on = step.resources
    return f"{on.least} to {on.most}" if on.least != on.most else f"{on.most}"


def _state(forecast: Forecast) -> str:
    plan = forecast.plan
    if plan is None:
        told = "" if forecast.found else "; nothing tells how much that will be"
        return f"reads what phase {forecast.phase.read.phase} has yet to commit{told}"
    listed = (
        f"{_count(len(plan.listing.files), 'file')}, {plan.listing.size:,} bytes, "
        f"{_count(len(plan.units), 'unit')}"
    )
    return f"{listed}; {_next(plan)}; recipe {plan.fingerprints['recipe'][:12]}"


def _next(plan: PhasePlan) -> str:
    if plan.nothing_to_do:
        return f"nothing changed since version {plan.parent}"
    if plan.unchanged:
        stays = f"nothing changed since version {plan.parent}"
        return f"{stays}, and what a store kept from it is tried again"
    if plan.built_on is not None:
        return f"builds on version {plan.parent}: {plan.built_on.told()}"
    return f"builds on version {plan.parent}" if plan.parent >= 0 else "makes a new table"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _figures(found: Estimate) -> Iterator[tuple[str, str, str]]:
    """Name, value with its margin, and how it was come by."""
    rows: list[tuple[str, Figure | None, str]] = [
        ("rows", found.rows, "{:,.0f}"),
        ("tokens", found.tokens, "{:,.0f}"),
        ("truncated rows", found.truncated, "{:.2%}"),
        ("quarantined rows", found.bad_rows, "{:.2%}"),
        ("bytes written", found.size, "{:,.0f}"),
        ("hours", found.hours, "{:,.3g}"),
        ("cost", found.cost, "{:,.2f}"),
    ]
    for name, figure, form in rows:
        if figure is None:
            free = name == "cost" and found.hours is not None
            why = "budget.price_per_hour is 0" if free else found.unknown
            if why:
                yield name, "not estimated", why
        else:
            margin = f" ± {form.format(figure.margin)}" if figure.margin else ""
            yield name, form.format(figure.value) + margin, figure.how
