"""What a gate found out about a candidate version, and whether it is published all the same."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from operators.base import ParallelMap
from operators.storage.parquet import Shard
from operators.storage.table import Table
from pipelines.canaries import Recall, ask
from pipelines.gate import (
    Check,
    Counts,
    check_of_canaries,
    check_of_sample,
    checks_of_counts,
    refusals,
)
from pipelines.plan import PhasePlan
from pipelines.resample import resample
from pipelines.spec import Asked
from pipelines.update import Update


@dataclass(frozen=True)
class Verdict:
    """Every check of a gate, and what the next run compares itself with."""

    checks: tuple[Check, ...]
    canaries: Recall | None = None

    def against(self, asked: Asked) -> tuple[str, ...]:
        """Why the version is not published: every reason, or none where somebody forces it.

        What is final cannot be forced.
        """
        reasons = refusals(self.checks)
        final = [check.reason for check in self.checks if check.final and check.reason]
        if asked.forced_by and not final:
            return ()
        if asked.forced_by:
            return tuple(f"{why} (not to be forced)" if why in final else why for why in reasons)
        return reasons

    def told(self, asked: Asked) -> dict[str, Any]:
        """What a commit records of it; `forced` only where there was something to override."""
        found: dict[str, Any] = {"checks": [asdict(check) for check in self.checks]}
        if self.canaries is not None:
            found["canaries"] = asdict(self.canaries)
        if reasons := refusals(self.checks):
            by, because = asked.forced_by, asked.forced_because
            found["forced"] = {"by": by, "because": because, "reasons": list(reasons)}
        return found


def judge(
    plan: PhasePlan,
    counts: Counts,
    update: Update,
    new: Sequence[Shard],
    kept: Sequence[Shard],
    parallel: ParallelMap,
) -> Verdict:
    """Look at a candidate version: its counts, some rows encoded again, its canary queries.

    `new` are the files the run wrote, `kept` those with rows of the last version. What needs rows
    or vectors is left out where there are none that could be read.
    """
    gate = plan.phase.write.gate
    checks = [*checks_of_counts(gate, counts, sum(shard.rows for shard in kept), update)]
    if any(check.reason and check.final for check in checks):
        return Verdict(tuple(checks))
    old = (*update.kept, *update.rewritten)
    if gate.sample and (old or update.reused):
        again = resample(plan.job, old, new, gate.sample, parallel)
        checks += [check_of_sample(again)] if again is not None else []
    if gate.canaries is None:
        return Verdict(tuple(checks))
    recall = ask(gate.canaries, plan.job, [*kept, *new], parallel)
    last = Table(plan.phase.write.table).lineage(plan.parent) if plan.parent >= 0 else None
    checks.append(check_of_canaries(gate.canaries, recall, (last or {}).get("canaries")))
    return Verdict(tuple(checks), recall)


def gate_story(lineage: Mapping[str, Any]) -> dict[str, str]:
    """What a commit recorded of its gate, in words under names for the reader."""
    checks = "; ".join(in_words(Check(**check)) for check in lineage.get("checks", ()))
    story = {"gate": checks or "not recorded"}
    if found := lineage.get("canaries"):
        queries = "1 query" if found["asked"] == 1 else f"{found['asked']:,} queries"
        story["canaries"] = f"recall@{found['k']} {found['recall']:g} of {queries}"
    if forced := lineage.get("forced"):
        story["forced"] = f"by {forced['by']}: {forced['because']}"
    return story


def in_words(check: Check) -> str:
    """A check as one clause: its figure and its bound."""
    bound = f"at least {_short(check.least)}" if check.least is not None else ""
    bound = f"at most {_short(check.most)}" if check.most is not None else bound
    found = f"{check.name} {_short(check.found)}, {bound}"
    return f"{found}, overridden" if check.reason else found


def _short(figure: float) -> str:
    return f"{int(figure):,}" if figure == int(figure) else f"{figure:.6g}"
