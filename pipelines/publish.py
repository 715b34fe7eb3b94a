"""Gate, then one commit: the only way a run's files become the table."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
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
    counts = with_encoding(counted(receipts.values(), bad_units), update)
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
    quarantined = [receipt.quarantine for receipt in receipts.values() if receipt.quarantine]
    record = (
        lineage(plan, counts)
        | verdict.told(plan.asked)
        | {
            "quarantine_files": sorted([*quarantined, *update.quarantine]),
            "kept_rows": sum(shard.rows for shard in kept),
            "source_files": update.source_files,
            "passing_units": list(update.passing_units),
            "changes": update.told(),
        }
    )
    for step in plan.phase.steps:
        if isinstance(step.operator, Tells):
            record |= step.operator.told(read_shard(table, shard.path) for shard in new)
    version = delta.commit(plan.parent, plan.schemas[-1], [*new, *kept], record, plan.run)
    folder.finish("committed")
    delta.settle_retention()
    return version, counts


def with_encoding(counts: Counts, update: Update) -> Counts:
    """The counts of a run that encoded what is new apart: its tokens and lengths, all seconds."""
    if not update.encoded:
        return counts if not update.reused else replace(counts, tokens=0)
    encoding = counted(update.encoded, {})
    seconds = Counter(counts.seconds)
    seconds.update(encoding.seconds)
    return replace(
        counts,
        tokens=encoding.tokens,
        min_norm=encoding.min_norm,
        max_norm=encoding.max_norm,
        not_finite=encoding.not_finite,
        seconds=dict(seconds),
    )


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
