"""Phases planned and worked in this process, for tests of what is published and what is not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from operators.storage.parquet import Shard
from operators.storage.receipts import Receipt
from operators.storage.table import Table
from pipelines.gate import counted
from pipelines.plan import PhasePlan, plan_phase
from pipelines.publish import lineage, publish
from pipelines.spec import BY_HAND, Asked
from pipelines.update import Update
from pipelines.work import process_alone
from tests.pipeline_builders import Row, built, lines, vectors_phase, write_files


@dataclass(frozen=True)
class Site:
    """A folder of documents, a model, and the table of their vectors."""

    base: str
    model: Path

    @property
    def table(self) -> str:
        return f"{self.base}/vectors"

    def put(self, **files: Iterable[Row]) -> None:
        """Write files of JSON lines by name."""
        docs = {f"{name}.jsonl": lines(rows) for name, rows in files.items()}
        write_files(f"{self.base}/docs", docs)

    def plan(self, asked: Asked = BY_HAND, **parts: Mapping[str, Any]) -> PhasePlan:
        phase = vectors_phase(f"{self.base}/docs", self.table, **parts)
        return plan_phase(built(self.model, vectors=phase).phases[0], asked=asked)

    def publish(self, plan: PhasePlan, only: str = "") -> int:
        """Work on the units of the files named, of all unless one is, and publish.

        What the last version has of the other files stays as it is.
        """
        receipts = worked(plan, only)
        update = self.keeping(plan) if only else Update()
        return publish(plan, receipts, {}, update)[0]

    def keeping(self, plan: PhasePlan) -> Update:
        """Everything that the last version has stays."""
        files = Table(self.table).files(plan.parent)
        kept = tuple(Shard(file.path, file.rows, file.size, "") for file in files)
        return Update(kept, parent_rows=sum(file.rows for file in files))

    def claimed(self, other: Path, **parts: Mapping[str, Any]) -> None:
        """Commit vectors of another model under the name of this one's recipe.

        What a library that changed without a new version number leaves behind.
        """
        foreign = worked(replace(self, model=other).plan(**parts))
        plan = self.plan(**parts)
        shards = [shard for receipt in foreign.values() for shard in receipt.shards]
        record = lineage(plan, counted(foreign.values(), {}))
        Table(self.table).commit(-1, plan.schemas[-1], shards, record, plan.run)


def worked(plan: PhasePlan, only: str = "") -> dict[str, Receipt]:
    """Receipts of the units of the files named, all in this process."""
    plan.job.folder.register({"phase": plan.phase.name, "parent": plan.parent})
    units = [unit for unit in plan.units if only in unit.pieces[0].uri]
    for unit in units:
        process_alone(plan.job, unit)
    receipts = plan.job.folder.receipts()
    return {unit.id: receipts[unit.id] for unit in units}


def checks(lineage: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The checks that a commit recorded, by name."""
    return {check["name"]: check for check in lineage["checks"]}
