"""Who follows a run: each watcher learns where a phase stands, and every outcome of its units."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from operators.storage.receipts import Receipt
from pipelines.plan import PhasePlan
from pipelines.spec import workers_of
from pipelines.work import Outcome


@dataclass(frozen=True)
class Stage:
    """Units of one phase that are about to be worked on."""

    phase: str
    run: str
    units: int
    """All of them."""
    waiting: int
    """Those that have no receipt yet."""
    workers: int
    """Of the model step with the most; 1 where there is none. The plan's cost counts the same."""
    models: Mapping[str, int]
    """Workers of the steps that load a model, by name; those of equal names together."""

    @classmethod
    def of(cls, plan: PhasePlan, receipts: Mapping[str, Receipt]) -> "Stage":
        """What a plan has left to do."""
        steps = [step for step in plan.phase.steps if step.operator.loads_model]
        return cls(
            phase=plan.phase.name,
            run=plan.run,
            units=len(plan.units),
            waiting=len(plan.pending(receipts)),
            workers=max((step.resources.most for step in steps), default=1),
            models=workers_of(steps),
        )

    @property
    def about(self) -> dict[str, object]:
        """What a log line says of it."""
        return {"phase": self.phase, "run": self.run}


class Watcher(Protocol):
    """Follows the units of a run's phases, one stage after the other."""

    def begins(self, stage: Stage) -> None:
        """A stage's units are about to be worked on."""
        ...

    def saw(self, stage: Stage, outcome: Outcome) -> None:
        """A unit, or a part of one, came to something; an error raised here stops the run."""
        ...

    def ends(self, stage: Stage) -> None:
        """Nothing more comes of the stage."""
        ...


def is_unit(outcome: Outcome) -> bool:
    """Whether an outcome ends a unit: a part of one does not, nor one that is yet to run alone."""
    return ".p" not in outcome.unit and not getattr(outcome, "suspect", False)
