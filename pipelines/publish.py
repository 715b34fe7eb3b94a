"""Gate, then one commit: the only way a run's files become the table."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from operators import model as models
from operators.base import ParallelMap, Tells
from operators.errors import GateError
from operators.storage.parquet import Shard, read_shard
from operators.storage.receipts import Receipt, RunFolder
from operators.storage.table import Table
from pipelines.fingerprint import code_version
from pipelines.gate import Counts, counted
from pipelines.plan import PhasePlan, readable
from pipelines.recorded import record
from pipelines.update import FROM_NOTHING, Update
from pipelines.verdict import judge


def publish(
    plan: PhasePlan,
    receipts: Mapping[str, Receipt],
    bad_units: dict[str, str],
    update: Update = FROM_NOTHING,
    parallel: ParallelMap = map,
) -> tuple[int, Counts]:
    """Commit what the receipts name, if the gate allows it; the new version and its counts.

    GateError leaves the old version and the staged files. ConflictError when another run came
    first. TableError when a staged file is missing.
    """
    table = plan.phase.write.table
    counts = counted(receipts.values(), bad_units)
    folder = RunFolder(table, plan.run)
    new = [shard for receipt in receipts.values() for shard in receipt.shards]
    kept = [*update.kept, *update.rewritten]
    if plan.accumulates and plan.parent >= 0:
        files = Table(table).files(plan.parent)
        kept = [Shard(file.path, file.rows, file.size, "") for file in files]
    verdict = judge(plan, counts, update, new, kept, parallel)
    if reasons := verdict.against(plan.asked):
        folder.finish("refused", reasons)
        raise GateError(table, reasons)
    days = plan.phase.write.keep_days
    delta = Table(
        table,
        log_retention=f"interval {max(days, 365)} days",
        file_retention=f"interval {days} days",
    )
    quarantined = sorted(receipt.quarantine for receipt in receipts.values() if receipt.quarantine)
    record = (
        lineage(plan, counts)
        | verdict.told(plan.asked)
        | {
            "quarantine_files": quarantined,
            "kept_rows": sum(shard.rows for shard in kept),
        }
    )
    for step in plan.phase.steps:
        if isinstance(step.operator, Tells):
            record |= step.operator.told(read_shard(table, shard.path) for shard in new)
    version = delta.commit(plan.parent, plan.schemas[-1], [*new, *kept], record, plan.run)
    folder.finish("committed")
    delta.settle_retention()
    return version, counts


def lineage(plan: PhasePlan, counts: Counts) -> dict[str, Any]:
    """What a commit records of its run: enough to know what each row is and to repeat it."""
    return {
        "recipe": plan.fingerprints["recipe"],
        "fingerprints": plan.fingerprints,
        "readable": readable(plan),
        "config": record(plan.phase, plan.source),
        "models": {
            model.path: models.resolve(model).revision
            for step in plan.phase.steps
            if (model := getattr(step.operator, "model", None)) is not None
        },
        "code": code_version(),
        "phase": plan.phase.name,
        "source": plan.source.uri,
        "source_version": plan.source.version,
        "snapshot": plan.listing.snapshot,
        "parent": plan.parent,
        "date": plan.asked.date,
        "gate": asdict(plan.phase.write.gate),
        "careless_store_allowed": plan.phase.write.allow_careless_store,
        "counts": asdict(counts),
        "committed_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
