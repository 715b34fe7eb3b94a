"""What `run` and `plan` do."""

import sys
import uuid
from dataclasses import replace

import typer
from rich.console import Console
from rich.table import Table as Grid

from cluster.execute import Result, run_pipeline
from cluster.progress import Progress
from cluster.runner import Runner
from operators.errors import ConfigError, PreflightError
from pipelines.config import load
from pipelines.estimate import Estimate, Figure, estimate
from pipelines.fit import pinned
from pipelines.plan import PhasePlan, plan_phase
from pipelines.spec import Budget, Phase, Pipeline


def loaded(config: str, overrides: list[str] | None, limit: int) -> Pipeline:
    """The pipeline of a config, its overrides and its limit; ConfigError with every mistake."""
    return _limited(load(config, overrides or ()), limit)


def run(pipeline: Pipeline, runner: Runner, *, yes: bool, rerun: bool) -> None:
    """Run a pipeline; asks first when the plan is dearer than its budget."""
    if pipeline.budget.max_cost and not yes:
        _ask(pipeline)
    nonce = uuid.uuid4().hex if rerun else ""
    for result in run_pipeline(pipeline, runner, Progress(), nonce):
        typer.echo(told(result))


def show_plan(pipeline: Pipeline, *, probe: bool) -> None:
    """Print what a run would do and take; writes nothing."""
    console = Console()
    for phase in pipeline.phases:
        console.print(f"[bold]phase {phase.name}[/bold]: {_dag(phase)}", highlight=False)
        if phase.read.phase:
            console.print(
                f"  reads what phase {phase.read.phase} commits; planned once that is there"
            )
            continue
        plan = plan_phase(pinned(phase))
        state = f"builds on version {plan.parent}" if plan.parent >= 0 else "makes a new table"
        if plan.nothing_to_do:
            state = f"nothing changed since version {plan.parent}"
        console.print(
            f"  {len(plan.listing.files)} files, {plan.listing.size:,} bytes, "
            f"{len(plan.units)} units; {state}; recipe {plan.fingerprints['recipe'][:12]}",
            highlight=False,
        )
        console.print(_grid(estimate(plan, pipeline.budget.price_per_hour, probe=probe), probe))


def runner_named(name: str, address: str) -> Runner:
    """The runner a user asked for; ConfigError for a name that is neither."""
    chosen = name or ("ray" if address else "local")
    if chosen == "local":
        from cluster.local import LocalRunner

        return LocalRunner()
    if chosen == "ray":
        from cluster.ray_runner import RayRunner

        return RayRunner(address)
    raise ConfigError((f"--runner {name}: there are local and ray",))


def told(result: Result) -> str:
    """A phase's result as a sentence."""
    if result.counts is None:
        return f"{result.phase}: nothing changed; version {result.version} of {result.table} stays"
    counts = result.counts
    bad = ", ".join(f"{count} × {reason}" for reason, count in counts.bad.items())
    return (
        f"{result.phase}: version {result.version} of {result.table}: {counts.rows_out:,} rows, "
        f"{counts.tokens:,} tokens, {counts.truncated:,} rows truncated, "
        f"{counts.quarantined:,} quarantined" + (f" ({bad})" if bad else "")
    )


def _ask(pipeline: Pipeline) -> None:
    """Show the price above the budget and ask; PreflightError where nobody can be asked."""
    price = sum(
        _cost(plan_phase(pinned(p)), pipeline.budget) for p in pipeline.phases if p.read.uri
    )
    budget = pipeline.budget
    if price <= budget.max_cost:
        return
    sentence = f"the plan costs about {price:.2f}, more than budget.max_cost {budget.max_cost:g}"
    if not sys.stdin.isatty():
        raise PreflightError(f"{sentence}; run with --yes to go on all the same")
    if input(f"{sentence}. Go on? [y/N] ").strip().lower() not in {"y", "yes"}:
        raise PreflightError(f"{sentence}; not confirmed")


def _cost(plan: PhasePlan, budget: Budget) -> float:
    if plan.nothing_to_do:
        return 0.0
    found = estimate(plan, budget.price_per_hour).cost
    return found.value + found.margin if found else 0.0


def _limited(pipeline: Pipeline, limit: int) -> Pipeline:
    if not limit:
        return pipeline
    phases = tuple(
        phase if phase.read.phase else replace(phase, read=replace(phase.read, limit=limit))
        for phase in pipeline.phases
    )
    return replace(pipeline, phases=phases)


def _dag(phase: Phase) -> str:
    source = phase.read.uri or f"phase {phase.read.phase}"
    steps = [
        f"{step.operator.name} × {step.resources.workers}"
        if step.operator.loads_model
        else step.operator.name
        for step in phase.steps
    ]
    return " → ".join([source, *steps, phase.write.table])


def _grid(found: Estimate, probe: bool) -> Grid:
    unknown = "not estimated" + ("" if probe else " (--no-probe)")
    grid = Grid("what", "about", "how it was estimated", box=None, padding=(0, 2))
    rows: list[tuple[str, Figure | None, str]] = [
        ("rows", found.rows, "{:,.0f}"),
        ("tokens", found.tokens, "{:,.0f}"),
        ("truncated rows", found.truncated, "{:.2%}"),
        ("quarantined rows", found.bad_rows, "{:.2%}"),
        ("bytes written", found.size, "{:,.0f}"),
        ("hours", found.hours, "{:.4f}"),
        ("cost", found.cost, "{:.2f}"),
    ]
    for name, figure, form in rows:
        if figure is None:
            grid.add_row(f"  {name}", unknown, "")
        else:
            margin = f" ± {form.format(figure.margin)}" if figure.margin else ""
            grid.add_row(f"  {name}", form.format(figure.value) + margin, figure.how)
    return grid
