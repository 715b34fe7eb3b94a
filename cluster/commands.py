"""What `run` and `plan` do."""

import logging
import sys
import uuid
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import typer

from cluster import logs
from cluster.dates import logical
from cluster.execute import Result, run_pipeline
from cluster.force import overridden, whoever
from cluster.leases import leased
from cluster.metrics import Metrics
from cluster.outlook import outlook
from cluster.progress import Progress
from cluster.runner import Runner
from cluster.spending import spending
from cluster.stalled import NO_PROGRESS_SECONDS, WAIT_FOR_NODES
from cluster.trial import check_trial
from cluster.unit_log import UnitLog
from cluster.watching import Watcher
from operators.errors import ConfigError, PreflightError
from operators.redaction import without_secrets
from pipelines.config import load
from pipelines.forecast import Forecast, forecasts
from pipelines.spec import Asked, Pipeline
from pipelines.update import Update


def loaded(config: str, overrides: list[str] | None, limit: int) -> Pipeline:
    """The pipeline of a config, its overrides and its limit; ConfigError with every mistake."""
    return replace(_limited(load(config, overrides or ()), limit), name=Path(config).stem)


def asked_for(
    *, rerun: bool = False, refit: bool = False, date: str = "", force: str | None = None
) -> Asked:
    """How a run was asked for; ConfigError for a date that is none or a force without reason."""
    nonce = uuid.uuid4().hex if rerun else ""
    if force is None:
        return Asked(nonce=nonce, date=logical(date), refit=refit)
    if not force.strip():
        raise ConfigError(("--force-publish: say why in a few words; the commit records them",))
    return Asked(nonce, logical(date), whoever(), force.strip(), refit)


def run(pipeline: Pipeline, runner: Runner, asked: Asked, *, yes: bool, lease: bool) -> None:
    """Run a pipeline; asks first when the plan is dearer than its budget, and stops at it.

    With `lease`, ConflictError when another run works on one of its tables.
    """
    if not yes:
        check_trial(pipeline)
    limit = _agreed(pipeline, runner) if pipeline.budget.max_cost and not yes else 0.0
    progress = Progress(watchers=_watchers(pipeline, runner, limit))
    with leased(pipeline, asked.date, progress) if lease else nullcontext():
        for result in run_pipeline(pipeline, runner, progress, asked):
            typer.echo(without_secrets(told(result)))
            if asked.forced_by and (warning := overridden(result)):
                progress.say(warning, level=logging.WARNING)


def _watchers(pipeline: Pipeline, runner: Runner, limit: float) -> list[Watcher]:
    """Who follows a run; the one that may stop it comes last."""
    watchers: list[Watcher] = [UnitLog()] if logs.are_json() else []
    if runner.name == "ray":
        watchers.append(Metrics(pipeline.name))
    return [*watchers, *spending(pipeline.budget, limit)]


def show_plan(pipeline: Pipeline, *, probe: bool) -> None:
    """Print what a run would do and take; writes nothing."""
    for forecast in forecasts(pipeline, probe=probe, elsewhere=True):
        for line in outlook(forecast):
            typer.echo(without_secrets(line))


def runner_named(
    name: str,
    address: str,
    no_progress: int = NO_PROGRESS_SECONDS,
    *,
    wait_for_nodes: int = WAIT_FOR_NODES,
    ray_logs: bool = False,
    allow_insecure: bool = False,
) -> Runner:
    """The runner a user asked for; ConfigError for a name that is neither."""
    chosen = name or ("ray" if address else "local")
    if chosen == "local":
        from cluster.local import LocalRunner

        return LocalRunner(no_progress)
    if chosen == "ray":
        from cluster.ray_runner import RayRunner
        from cluster.settings import RaySettings

        tuning = RaySettings(
            no_progress_seconds=no_progress,
            scale_up_seconds=wait_for_nodes,
            logs=ray_logs,
            allow_insecure=allow_insecure,
        )
        return RayRunner(address, tuning)
    raise ConfigError((f"--runner {name}: there are local and ray",))


def told(result: Result) -> str:
    """A phase's result as a sentence."""
    if result.counts is None:
        return f"{result.phase}: nothing changed; version {result.version} of {result.table} stays"
    counts = result.counts
    bad = ", ".join(f"{count} × {reason}" for reason, count in counts.bad.items())
    parts = [f"{counts.rows_out + result.update.kept_rows:,} rows", *_changes(result.update)]
    if counts.tokens:
        parts += [f"{counts.tokens:,} tokens", f"{counts.truncated:,} rows truncated"]
    parts.append(f"{counts.quarantined:,} quarantined" + (f" ({bad})" if bad else ""))
    parts += [f"{count:,} {reason}" for reason, count in counts.left_out.items()]
    if counts.bad_units:
        parts.append(f"left out: {'; '.join(counts.bad_units.values())}")
    return f"{result.phase}: version {result.version} of {result.table}: {', '.join(parts)}"


def _changes(update: Update) -> list[str]:
    """The new version against the last, where there is one whose ids were read."""
    if not update.parent_rows or not update.counted:
        return []
    named = ("added", "changed", "deleted")
    found = [f"{getattr(update, name):,} {name}" for name in named]
    return [*found, f"{update.reused:,} written with the vector of an equal text"]


def _agreed(pipeline: Pipeline, runner: Runner) -> float:
    """What the run may cost: the budget, or the dearer plan's price once somebody agreed to it.

    PreflightError where nobody can be asked, or says no. Where nothing tells a phase's price, since
    no GPU is here or what it reads is yet to be made, that is said, and the limit holds.
    """
    limit = pipeline.budget.max_cost
    found = [*forecasts(pipeline, probe=True, elsewhere=runner.name != "local")]
    untold = ", ".join(f"{each.phase.name} ({why})" for each in found if (why := _unpriced(each)))
    costs = [each.found.cost for each in found if each.found]
    price = sum(cost.value + cost.margin for cost in costs if cost)
    if untold:
        most = max(limit, price)
        logs.say(f"nothing tells the price of {untold}; the run stops at {most:,.2f}", {})
    if price <= limit:
        return limit
    sentence = f"the plan costs up to {price:,.2f}, more than budget.max_cost {limit:,.2f}"
    if not sys.stdin.isatty():
        raise PreflightError(f"{sentence}; run with --yes to go on all the same")
    if not typer.confirm(f"{sentence}. Go on?"):
        raise PreflightError(f"{sentence}; not confirmed")
    return price


def _unpriced(forecast: Forecast) -> str:
    """Why a phase has no price; empty where it has one, or nothing to do."""
    if forecast.found is None:
        return "" if forecast.plan is not None else "it reads what is yet to be made"
    return "" if forecast.found.cost else forecast.found.unknown


def _limited(pipeline: Pipeline, limit: int) -> Pipeline:
    if not limit:
        return pipeline
    phases = tuple(
        phase if phase.read.phase else replace(phase, read=replace(phase.read, limit=limit))
        for phase in pipeline.phases
    )
    return replace(pipeline, phases=phases)
