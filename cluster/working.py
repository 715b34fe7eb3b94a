"""The work of a phase before its commit: on a new table, or on a version that is there."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cluster.progress import Progress
from cluster.runner import Runner
from cluster.streaming import stream, that_count
from operators.storage.parquet import Shard
from operators.storage.receipts import Receipt
from operators.storage.stored import stored
from operators.storage.table import Table, TableFile
from operators.text.places import relative
from pipelines.changes import Rewriting, carried, files_with_dependents, find_changes
from pipelines.duplicates import remove_duplicates
from pipelines.gather import Gather
from pipelines.homes import Homes
from pipelines.parent import Parent
from pipelines.plan import PhasePlan
from pipelines.sources import files_of, write_sources
from pipelines.spec import Step
from pipelines.survey import Survey
from pipelines.update import FROM_NOTHING, Update
from pipelines.work import Failure

NEW_TEXTS = "new"
"""Part of a run, in a folder of its own, that encodes what an incremental run lacks."""


@dataclass(frozen=True)
class Done:
    """What the units came to, ready for the gate."""

    receipts: dict[str, Receipt]
    failures: dict[str, Failure]
    """By unit, of those that have no receipt."""
    update: Update

    @property
    def bad_units(self) -> dict[str, str]:
        """Why units have no receipt."""
        return {unit: failure.reason for unit, failure in self.failures.items()}


def work_anew(plan: PhasePlan, runner: Runner, progress: Progress) -> Done:
    """Do every unit; what was there before is replaced, or added to."""
    receipts, failures = stream(plan, runner, progress)
    if remove_duplicates(plan.job, receipts, runner.parallel):
        receipts = that_count(plan, plan.job.folder.receipts())
    quarantine = [receipt.quarantine for receipt in receipts.values() if receipt.quarantine]
    known = _known(plan, failures, quarantine)
    update = replace(FROM_NOTHING, source_files=known, passing_units=_passing(failures))
    if plan.parent >= 0 and not plan.accumulates:
        before = sum(file.rows for file in Table(plan.phase.write.table).files(plan.parent))
        after = sum(receipt.rows_out for receipt in receipts.values())
        # the old files are not read, since they may be why everything is made anew
        gone = max(0, before - after)
        update = replace(update, parent_rows=before, added=None, changed=None, deleted=gone)
    return Done(receipts, failures, update)


def build_on(plan: PhasePlan, parent: Parent, runner: Runner, progress: Progress) -> Done:
    """Do what is new or changed; other rows stay, and equal texts keep their vectors."""
    name, survey = plan.phase.name, Survey(plan.job, parent)
    progress.say(parent.told(), {"phase": name, "run": plan.run})
    plan.job.folder.register({"phase": name, "parent": plan.parent})
    stays = survey.rows_that_stay(runner.parallel)
    encoded: dict[str, Receipt] = {}
    failed: dict[str, Failure] = {}
    todo = replace(plan, units=parent.units)
    if parent.reuses and parent.units:
        survey.find_homes(runner.parallel)
        encoding = _encoding(todo, survey, runner)
        encoded, failed = stream(encoding, runner, progress)
        todo = _gathering(todo, encoding, encoded)
        todo = replace(todo, units=tuple(u for u in parent.units if u.id not in failed))
    receipts, failures = stream(todo, runner, progress)
    failures |= failed
    changes = find_changes(survey, receipts, runner.parallel)
    kept, rewritten, quarantine = _files(survey, stays, changes.doubled, runner)
    earlier: Any = (plan.committed or {}).get("quarantine_files", ())
    every = [*(r.quarantine for r in changes.receipts.values()), *quarantine]
    known = _known(plan, failures, [path for path in every if path])
    rows = sum(receipt.rows_out for receipt in changes.receipts.values())
    made = sum(receipt.rows_out for receipt in encoded.values())
    update = Update(
        kept=kept,
        rewritten=rewritten,
        parent_rows=sum(file.rows for file in parent.files),
        added=changes.added,
        changed=changes.changed,
        deleted=changes.deleted,
        reused=rows - made if parent.reuses else 0,
        encoded=tuple(encoded.values()),
        quarantine=tuple(path for path in (*quarantine, carried(survey, earlier)) if path),
        source_files=known,
        passing_units=_passing(failures),
    )
    return Done(changes.receipts, failures, update)


def _encoding(plan: PhasePlan, survey: Survey, runner: Runner) -> PhasePlan:
    """The plan of a run of its own that encodes each text whose vector is nowhere yet."""
    job, takes = survey.job, survey.parent.takes
    homes = Homes(job.folder, job.buckets, len(survey.parent.files), only_new=True)
    return replace(
        plan,
        phase=replace(
            plan.phase, name=f"{plan.phase.name}, new texts", steps=plan.phase.steps[:takes]
        ),
        schemas=plan.schemas[: takes + 1],
        units=tuple(homes.units_to_encode(plan.units, runner.parallel)),
        run=f"{plan.run}/{NEW_TEXTS}",
        homes=homes,
    )


def _gathering(plan: PhasePlan, encoding: PhasePlan, encoded: Mapping[str, Receipt]) -> PhasePlan:
    """The plan that writes the rows, with the vectors that are there by now, coded if need be."""
    assert plan.built_on is not None
    assert encoding.homes is not None
    numbers = {unit.id: unit.ordinal for unit in encoding.units}
    made: dict[int, tuple[Receipt, ...]] = {}
    for name, receipt in encoded.items():
        number = numbers[name.partition(".p")[0]]
        made[number] = (*made.get(number, ()), receipt)
    takes = plan.built_on.takes
    first, last = plan.schemas[0], stored(plan.schemas[takes])
    gather = Gather(
        table=plan.phase.write.table,
        files=tuple(file.path for file in plan.built_on.files),
        made=made,
        schema=last,
        names=tuple(field.name for field in last if field.name not in first.names),
    )
    return replace(
        plan,
        phase=replace(plan.phase, steps=(Step(gather), *plan.phase.steps[takes:])),
        schemas=(first, *plan.schemas[takes:]),
        homes=replace(encoding.homes, only_new=False),
    )


def _files(
    survey: Survey, stays: list[int], doubled: Mapping[int, npt.NDArray[np.int64]], runner: Runner
) -> tuple[tuple[Shard, ...], tuple[Shard, ...], list[str]]:
    """The parent's files that stay, those that take the place of others, their quarantine files."""
    files = survey.parent.files
    whole = {n for n, file in enumerate(files) if stays[n] == file.rows and n not in doubled}
    partly = [n for n, count in enumerate(stays) if count and n not in whole]
    done = list(runner.parallel(Rewriting(survey, doubled), partly))
    kept = tuple(_as_shard(files[n]) for n in sorted(whole))
    return kept, tuple(shard for shard, _ in done if shard), [bad for _, bad in done if bad]


def _as_shard(file: TableFile) -> Shard:
    return Shard(file.path, file.rows, file.size, "")


def _passing(failures: Mapping[str, Failure]) -> tuple[str, ...]:
    return tuple(unit for unit, failure in failures.items() if failure.passing)


def _known(plan: PhasePlan, failures: Mapping[str, Failure], quarantine: list[str]) -> str:
    """Record the source files that the next run may skip; the record's path in the table."""
    table, root = plan.phase.write.table, plan.listing.root
    units = plan.units if plan.built_on is None else plan.built_on.units
    failed = (unit for unit in units if unit.id in failures)
    again = {relative(root, piece.uri) for unit in failed for piece in unit.pieces}
    again |= files_with_dependents(table, quarantine)
    return write_sources(table, files_of(plan.listing), again)
