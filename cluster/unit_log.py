"""What workers met, as log lines: units that failed, that were begun again, whose rows are bad."""

import logging

from cluster import logs
from cluster.watching import Stage
from operators.contract import LEFT_OUT
from operators.storage.receipts import Receipt
from pipelines.work import Failure, Outcome


class UnitLog:
    """A watcher that logs what matters of a unit; of one that simply finished it says nothing."""

    def begins(self, stage: Stage) -> None:
        """Nothing of a unit yet."""

    def saw(self, stage: Stage, outcome: Outcome) -> None:
        """Log an outcome that somebody may look for."""
        about = {**stage.about, "unit": outcome.unit, "worker": outcome.worker}
        if isinstance(outcome, Failure):
            told = "unit runs alone" if outcome.suspect else "unit failed"
            logs.say(told, {**about, "reason": outcome.reason}, logging.WARNING)
            return
        if outcome.retries:
            logs.say("unit was begun again", {**about, "retries": outcome.retries})
        if bad := _bad(outcome):
            logs.say("rows quarantined", {**about, "reasons": bad, "file": outcome.quarantine})

    def ends(self, stage: Stage) -> None:
        """Nothing of a unit any more."""


def _bad(receipt: Receipt) -> dict[str, int]:
    return {reason: n for reason, n in receipt.bad.items() if not reason.startswith(LEFT_OUT)}
