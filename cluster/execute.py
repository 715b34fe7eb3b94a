"""Run a pipeline: plan each phase, do what is pending, remove duplicates, publish."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from cluster.progress import Progress
from cluster.runner import Runner
from operators.storage.race import refuse_careless_store
from operators.storage.receipts import Receipt
from operators.text.source import Unit
from pipelines.duplicates import remove_duplicates
from pipelines.fit import fit_and_pin, pinned, unfitted
from pipelines.gate import Counts
from pipelines.plan import PhasePlan, finished, plan_phase, receipt_names
from pipelines.publish import publish
from pipelines.spec import BY_HAND, Asked, Phase, Pipeline
from pipelines.suspects import isolate
from pipelines.work import MAX_ATTEMPTS, Failure, Job


@dataclass(frozen=True)
class Result:
    """What a phase came to; `counts` is None when there was nothing to do."""

    phase: str
    table: str
    version: int
    counts: Counts | None
    reused_units: int = 0


def run_pipeline(
    pipeline: Pipeline, runner: Runner, progress: Progress, asked: Asked = BY_HAND
) -> list[Result]:
    """Run every phase in order; each commits one version or says that nothing changed.

    The runner is started only when a phase has something to do.
    """
    results: list[Result] = []
    versions: dict[str, tuple[str, int]] = {}
    for phase in pipeline.phases:
        progress.say(f"phase {phase.name}: planning")
        plan = plan_phase(pinned(phase), versions, asked)
        if plan.nothing_to_do:
            result = Result(phase.name, phase.write.table, plan.parent, None)
            progress.say(f"phase {phase.name}: nothing changed, version {plan.parent} stays")
        else:
            result = run_phase(plan, runner, progress, versions)
        versions[phase.name] = (result.table, result.version)
        results.append(result)
    return results


def run_phase(
    plan: PhasePlan,
    runner: Runner,
    progress: Progress,
    versions: Mapping[str, tuple[str, int]],
) -> Result:
    """Do one phase's work and publish it; raises what refused it, the old version intact."""
    write = plan.phase.write
    if not write.allow_careless_store:
        refuse_careless_store(write.table)
    progress.say(f"phase {plan.phase.name}: starting the {runner.name} runner")
    with runner.started():
        runner.check(plan.phase.steps)
        plan = _fitted(plan, runner, progress, versions)
        folder = plan.job.folder
        folder.register({"phase": plan.phase.name, "parent": plan.parent})
        before = folder.receipts()
        failures = _stream(plan, runner, progress, before)
        bad_units = _retry_alone(plan, runner, failures)
        receipts = _that_count(plan, folder.receipts())
        if remove_duplicates(plan.job, receipts, runner.parallel):
            receipts = _that_count(plan, folder.receipts())
        progress.say(f"phase {plan.phase.name}: checking and publishing {len(receipts)} shards")
        version, counts = publish(plan, receipts, bad_units, parallel=runner.parallel)
    progress.say(f"phase {plan.phase.name}: version {version} of {write.table}")
    return Result(plan.phase.name, write.table, version, counts, len(before))


def _fitted(
    plan: PhasePlan,
    runner: Runner,
    progress: Progress,
    versions: Mapping[str, tuple[str, int]],
) -> PhasePlan:
    """The plan with every artefact learned and pinned, and so with its final run key."""
    while steps := unfitted(plan.phase):
        name = plan.phase.steps[steps[0]].operator.name
        progress.say(f"phase {plan.phase.name}: {name} learns from a sample")
        phase: Phase = next(iter(runner.parallel(_Fit(plan), steps[:1])))
        plan = plan_phase(replace(phase, read=plan.phase.read), versions, plan.asked)
    return plan


@dataclass(frozen=True)
class _Fit:
    plan: PhasePlan

    def __call__(self, step: int) -> Phase:
        return fit_and_pin(self.plan, step)


def _stream(
    plan: PhasePlan, runner: Runner, progress: Progress, receipts: Mapping[str, Receipt]
) -> dict[str, Failure]:
    """Run the pending units; the failures by unit. Suspects of earlier attempts wait for later."""
    pending = plan.pending(receipts)
    attempts = plan.job.folder.attempts() if pending else {}
    suspects = {
        unit.id: Failure(unit.id, "begun too often", suspect=True)
        for unit in pending
        if not unit.splits and attempts.get(unit.id, 0) >= MAX_ATTEMPTS
    }
    failures = dict(suspects)
    todo = [unit for unit in pending if unit.id not in suspects]
    outcomes = runner.run_units(plan.job, todo)
    with progress.phase(plan, receipts) as seen, closing(outcomes):
        for outcome in outcomes:
            seen(outcome)
            if isinstance(outcome, Failure):
                failures[outcome.unit.partition(".p")[0]] = outcome
    return failures


def _retry_alone(
    plan: PhasePlan, runner: Runner, failures: Mapping[str, Failure]
) -> dict[str, str]:
    """Give suspects a process of their own; the units that still failed, with their reasons."""
    reasons = {}
    for unit in plan.units:
        failure = failures.get(unit.id)
        if failure is not None and failure.suspect:
            failure = next(_still_failed(plan.job, unit, runner), None)
        if failure is not None:
            named = failure.reason.startswith(f"source {unit.pieces[0].uri}:")
            reasons[unit.id] = failure.reason if named else f"{_named(unit)}: {failure.reason}"
    return reasons


def _still_failed(job: Job, unit: Unit, runner: Runner) -> Iterator[Failure]:
    outcomes = isolate(job, unit, runner.alone)
    return (outcome for outcome in outcomes if isinstance(outcome, Failure))


def _named(unit: Unit) -> str:
    first = unit.pieces[0]
    more = f" and {len(unit.pieces) - 1} more files" if len(unit.pieces) > 1 else ""
    return f"{first.uri}{more}" if first.whole else f"{first.uri} [{first.start}, {first.stop})"


def _that_count(plan: PhasePlan, receipts: Mapping[str, Receipt]) -> dict[str, Receipt]:
    """The receipts that stand for the plan's units, in the order of the source's rows.

    Of a unit that failed midway, the parts that were finished count too.
    """
    names: list[str] = []
    for unit in plan.units:
        if finished(unit, receipts):
            names += receipt_names(unit, receipts)
        elif unit.splits:
            names += _parts(unit.id, receipts)
    return {name: receipts[name] for name in names}


def _parts(unit: str, receipts: Mapping[str, Receipt]) -> Sequence[str]:
    return sorted(name for name in receipts if name.startswith(f"{unit}.p"))
