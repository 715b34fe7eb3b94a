"""Do the pending units of a plan on a runner, suspects alone, and tell which receipts count."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from cluster.progress import Progress, Seen
from cluster.runner import Runner
from operators.errors import TableError
from operators.storage.receipts import Receipt
from operators.text.source import Unit
from pipelines.plan import PhasePlan, finished, receipt_names
from pipelines.suspects import isolate
from pipelines.work import MAX_ATTEMPTS, Failure, Outcome


def stream(
    plan: PhasePlan, runner: Runner, progress: Progress
) -> tuple[dict[str, Receipt], dict[str, Failure]]:
    """Work on what has no receipt yet; the receipts of all units, and why some have none.

    What a store failed is tried once more after the rest. TableError where it failed again and
    more units are lacking than the gate lets pass: the next run may have them.
    """
    folder = plan.job.folder
    folder.register({"phase": plan.phase.name, "parent": plan.parent})
    receipts = folder.receipts()
    with progress.phase(plan, receipts) as seen:
        failures = _stream(plan, runner, _later(seen), plan.pending(receipts))
        if again := [unit for unit in plan.units if _is_passing(failures.get(unit.id))]:
            failures = {name: each for name, each in failures.items() if not each.passing}
            failures |= _stream(plan, runner, seen, again)
        failures = _retry_alone(plan, runner, seen, failures)
    _check_store(plan, failures)
    return that_count(plan, folder.receipts()), failures


def _stream(
    plan: PhasePlan, runner: Runner, seen: Seen, pending: Sequence[Unit]
) -> dict[str, Failure]:
    """Run pending units; the failures by unit. Suspects of earlier attempts wait for later."""
    attempts = plan.job.folder.attempts() if pending else {}
    suspects = {
        unit.id: Failure(unit.id, "begun too often", suspect=True)
        for unit in pending
        if not unit.splits and attempts.get(unit.id, 0) >= MAX_ATTEMPTS
    }
    for suspect in suspects.values():
        seen(suspect)
    failures = dict(suspects)
    todo = [unit for unit in pending if unit.id not in suspects]
    outcomes = runner.run_units(plan.job, todo)
    with closing(outcomes):
        for outcome in outcomes:
            seen(outcome)
            if isinstance(outcome, Failure):
                failures[outcome.unit.partition(".p")[0]] = outcome
    return failures


def _later(seen: Seen) -> Seen:
    """Leaves out what is tried again: the second outcome of a unit is the one that counts."""
    return lambda outcome: None if _is_passing(outcome) else seen(outcome)


def _is_passing(outcome: Outcome | None) -> bool:
    return isinstance(outcome, Failure) and outcome.passing


def _retry_alone(
    plan: PhasePlan, runner: Runner, seen: Seen, failures: Mapping[str, Failure]
) -> dict[str, Failure]:
    """Give suspects a process of their own; the units that still failed, their reasons named."""
    left = {}
    for unit in plan.units:
        failure = failures.get(unit.id)
        if failure is not None and failure.suspect:
            failure = None
            for outcome in isolate(plan.job, unit, runner.alone):
                seen(outcome)
                if isinstance(outcome, Failure):
                    failure = failure or outcome
        if failure is not None:
            named = failure.reason.startswith(f"source {unit.pieces[0].uri}:")
            reason = failure.reason if named else f"{_named(unit)}: {failure.reason}"
            left[unit.id] = replace(failure, reason=reason)
    return left


def _check_store(plan: PhasePlan, failures: Mapping[str, Failure]) -> None:
    """The gate's word is final for a date; a store's failure must not be."""
    passing = [failure.reason for failure in failures.values() if failure.passing]
    allowed = len(failures) <= plan.phase.write.gate.max_bad_units or plan.asked.forced_by
    if passing and not allowed:
        units = "1 unit" if len(passing) == 1 else f"{len(passing)} units"
        problem = f"{units} could not be read or written (the first: {passing[0]})"
        raise TableError(plan.phase.write.table, f"{problem}; the rest is kept, run again")


def _named(unit: Unit) -> str:
    first = unit.pieces[0]
    more = f" and {len(unit.pieces) - 1} more files" if len(unit.pieces) > 1 else ""
    return f"{first.uri}{more}" if first.whole else f"{first.uri} [{first.start}, {first.stop})"


def that_count(plan: PhasePlan, receipts: Mapping[str, Receipt]) -> dict[str, Receipt]:
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
