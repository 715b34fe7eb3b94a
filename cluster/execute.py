"""Run a pipeline: plan each phase, do what is pending, remove duplicates, publish."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from cluster.progress import Progress
from cluster.runner import Runner
from cluster.working import Done, build_on, work_anew
from operators.storage.race import refuse_careless_store
from pipelines.ahead import check_later, sure_to_run
from pipelines.choice import choose, decided, pin_choice, undecided
from pipelines.fit import FEW_ROWS, Learned, learned, pin, pinned, unfitted
from pipelines.fit_parts import learned_by_parts, learns_by_parts
from pipelines.gate import Counts
from pipelines.plan import PhasePlan, plan_phase
from pipelines.publish import publish
from pipelines.spec import BY_HAND, Asked, Phase, Pipeline, Step
from pipelines.update import FROM_NOTHING, Update


@dataclass(frozen=True)
class Result:
    """What a phase came to; `counts` is None when there was nothing to do."""

    phase: str
    table: str
    version: int
    counts: Counts | None
    reused_units: int = 0
    update: Update = FROM_NOTHING


def run_pipeline(
    pipeline: Pipeline, runner: Runner, progress: Progress, asked: Asked = BY_HAND
) -> list[Result]:
    """Run every phase in order; each commits one version or says that nothing changed.

    The runner is started only when a phase has something to do, and the first that has waits for
    the later ones to be looked at: what they would be refused for is raised before any work.
    """
    results: list[Result] = []
    versions: dict[str, tuple[str, int]] = {}
    columns: dict[str, pa.Schema] = {}
    begun = False
    with progress.over([phase.name for phase in pipeline.phases]):
        for number, phase in enumerate(pipeline.phases, 1):
            progress.say("planning", {"phase": phase.name})
            plan = plan_phase(_recalled(decided(phase), versions, asked), versions, asked)
            columns[phase.name] = plan.schemas[-1]
            if plan.nothing_to_do:
                result = _unchanged(plan, progress)
            else:
                later = () if begun else pipeline.phases[number:]
                check_later(plan, later, columns)
                coming = [each.steps for each in sure_to_run(plan, later)]
                result = run_phase(plan, runner, progress, versions, coming)
                begun = True
            versions[phase.name] = (result.table, result.version)
            results.append(result)
    return results


def run_phase(
    plan: PhasePlan,
    runner: Runner,
    progress: Progress,
    versions: Mapping[str, tuple[str, int]],
    coming: Sequence[Sequence[Step]] = (),
) -> Result:
    """Do one phase's work and publish it; raises what refused it, the old version intact.

    `coming` are the steps of later phases, which must fit as well.
    """
    write = plan.phase.write
    if not write.allow_careless_store:
        refuse_careless_store(write.table)
    progress.say(f"starting the {runner.name} runner", _about(plan))
    with runner.started(), runner.fitting(plan.phase.steps, coming):
        plan = _decided(plan, runner, progress, versions)
        plan = _fitted(plan, runner, progress, versions)
        if plan.nothing_to_do:  # what was learned anew is what was learned before
            return _unchanged(plan, progress)
        before = len(plan.job.folder.receipts())
        done = (
            work_anew(plan, runner, progress)
            if plan.built_on is None
            else (build_on(plan, plan.built_on, runner, progress))
        )
        if plan.unchanged and done.failures and not done.update.changes_rows:
            return _still_failing(plan, done, progress)
        progress.say("checking and publishing", _about(plan))
        version, counts = publish(
            plan, done.receipts, done.bad_units, done.update, parallel=runner.parallel
        )
    committed = {"table": write.table, "version": version, "rows": counts.rows_out}
    progress.say(f"version {version} of {write.table}", _about(plan) | committed)
    return Result(plan.phase.name, write.table, version, counts, before, done.update)


def _unchanged(plan: PhasePlan, progress: Progress) -> Result:
    name, table = plan.phase.name, plan.phase.write.table
    told = f"nothing changed, version {plan.parent} stays"
    progress.say(told, {"phase": name, "version": plan.parent})
    return Result(name, table, plan.parent, None)


def _still_failing(plan: PhasePlan, done: Done, progress: Progress) -> Result:
    """Leave the version that is there: what a store kept from it was not to be had again."""
    plan.job.folder.finish("unchanged")
    first = next(iter(done.bad_units.values()))
    told = f"{len(done.failures):,} of its units failed again (the first: {first})"
    progress.say(f"nothing changed, version {plan.parent} stays: {told}", _about(plan))
    return Result(plan.phase.name, plan.phase.write.table, plan.parent, None)


def _decided(
    plan: PhasePlan,
    runner: Runner,
    progress: Progress,
    versions: Mapping[str, tuple[str, int]],
) -> PhasePlan:
    """The plan with every choice measured and pinned."""
    while steps := undecided(plan.phase):
        name = plan.phase.steps[steps[0]].operator.name
        choice = runner.on_worker(_Choose(plan), plan.phase.steps[: steps[0] + 1])
        phase, choice = pin_choice(plan.phase, steps[0], choice)
        progress.say(
            f"{name}: {choice} is the fastest here, and stays for this table", _about(plan)
        )
        plan = plan_phase(_recalled(phase, versions, plan.asked), versions, plan.asked)
    return plan


def _recalled(phase: Phase, versions: Mapping[str, tuple[str, int]], asked: Asked) -> Phase:
    """The phase with what its table has learned before, unless that is to be learned anew."""
    return phase if asked.refit else pinned(phase, versions)


def _fitted(
    plan: PhasePlan,
    runner: Runner,
    progress: Progress,
    versions: Mapping[str, tuple[str, int]],
) -> PhasePlan:
    """The plan with every artefact learned and pinned, and so with its final run key."""
    while steps := unfitted(plan.phase):
        name = plan.phase.steps[steps[0]].operator.name
        if learns_by_parts(plan, steps[0]):
            progress.say(f"{name} learns from every row", _about(plan))
            found = learned_by_parts(plan, steps[0], runner.parallel)
        else:
            progress.say(f"{name} learns from a sample", _about(plan))
            found = runner.on_worker(_Fit(plan), plan.phase.steps[: steps[0] + 1])
        _tell_rows(name, found, plan, progress)
        phase = pin(plan, steps[0], found.artefact, anew=plan.asked.refit)
        plan = plan_phase(phase, versions, plan.asked)
    return plan


def _tell_rows(name: str, found: Learned, plan: PhasePlan, progress: Progress) -> None:
    told, few = f"{name} learned from {found.rows:,} rows", found.rows < FEW_ROWS
    if few:
        told += " only, and the table keeps that; `run --refit` learns anew once there are more"
    progress.say(told, _about(plan), logging.WARNING if few else logging.INFO)


def _about(plan: PhasePlan) -> dict[str, object]:
    return {"phase": plan.phase.name, "run": plan.run}


@dataclass(frozen=True)
class _Choose:
    """Measures for the last of the plan's first steps, as a worker has them."""

    plan: PhasePlan

    def __call__(self, steps: tuple[Step, ...]) -> str:
        return choose(_with(self.plan, steps), len(steps) - 1)


@dataclass(frozen=True)
class _Fit:
    """Learns for the last of the plan's first steps, as a worker has them."""

    plan: PhasePlan

    def __call__(self, steps: tuple[Step, ...]) -> Learned:
        return learned(_with(self.plan, steps), len(steps) - 1)


def _with(plan: PhasePlan, first: tuple[Step, ...]) -> PhasePlan:
    steps = (*first, *plan.phase.steps[len(first) :])
    return replace(plan, phase=replace(plan.phase, steps=steps))
