"""A run stops at its budget: hours × workers × price, counted as the plan counts them."""

import time
from dataclasses import dataclass, field

from cluster.watching import Stage, is_unit
from operators.errors import BudgetError
from pipelines.spec import Budget
from pipelines.work import Outcome


@dataclass
class Spending:
    """A watcher that adds up the cost of a run and stops it, between two units, at the limit.

    The hours are those that phases' units were at work, by the clock: workers that wait cost as
    much as those that work. Finished units keep their receipts.
    """

    price_per_hour: float
    limit: float
    _spent: float = field(default=0.0, init=False)
    """By the stages that are over."""
    _began: float = field(default=0.0, init=False)
    _left: int = field(default=0, init=False)

    def begins(self, stage: Stage) -> None:
        """Start the clock of a stage."""
        self._began, self._left = time.monotonic(), stage.waiting

    def saw(self, stage: Stage, outcome: Outcome) -> None:
        """BudgetError once the limit is passed while units are left; a last unit is no reason."""
        self._left -= is_unit(outcome)
        cost = self._spent + self._cost(stage)
        if cost > self.limit and self._left > 0:
            raise BudgetError(stage.phase, cost, self.limit, stage.units - self._left, stage.units)

    def ends(self, stage: Stage) -> None:
        """Add what the stage cost."""
        self._spent += self._cost(stage)

    def _cost(self, stage: Stage) -> float:
        hours = (time.monotonic() - self._began) / 3600
        return hours * stage.workers * self.price_per_hour


def spending(budget: Budget, limit: float) -> list[Spending]:
    """The watcher of a budget, one or none: `limit` 0 stops nothing."""
    return [Spending(budget.price_per_hour, limit)] if limit else []
