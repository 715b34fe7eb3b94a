"""What a run tells Ray's Prometheus endpoint: every outcome that reaches the driver, as figures.

Counters count what came back since the driver started; a resumed run does not count again what
was finished before. Ray puts `ray_` before a name, and `_total` after a counter's.
"""

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cluster.watching import Stage, is_unit
from operators.contract import LEFT_OUT
from operators.measures import MODEL_TOKENS, PADDED_TOKENS
from operators.storage.receipts import Receipt
from pipelines.work import Outcome

LABELS = ("pipeline", "phase", "run")
"""Of every metric."""
_SECONDS = 4.0
"""Between two settings of a gauge; Ray reports every 10 and forgets what was not set since."""


@dataclass(frozen=True)
class Metric:
    """A metric by its name, with the label it has beside those of all."""

    kind: Literal["counter", "gauge"]
    says: str
    label: str = ""


METRICS: Mapping[str, Metric] = {
    "corpusmill_rows": Metric("counter", "Rows written"),
    "corpusmill_rows_read": Metric("counter", "Rows read from the source, bad ones too"),
    "corpusmill_tokens": Metric("counter", "Tokens of the rows that were written"),
    "corpusmill_bytes": Metric("counter", "Bytes of the data files that were written"),
    "corpusmill_truncated_rows": Metric("counter", "Rows whose text was cut to the length"),
    "corpusmill_quarantined_rows": Metric("counter", "Bad rows set aside", "reason"),
    "corpusmill_left_out_rows": Metric("counter", "Rows left out by intent", "reason"),
    "corpusmill_units": Metric("counter", "Units that came to an end: finished, failed", "result"),
    "corpusmill_retries": Metric("counter", "Units that were begun again after an attempt died"),
    "corpusmill_step_seconds": Metric("counter", "Seconds that workers spent in a step", "step"),
    "corpusmill_model_tokens": Metric("counter", "Tokens that went through a model"),
    "corpusmill_padded_tokens": Metric("counter", "The same with the padding of their batches"),
    "corpusmill_units_planned": Metric("gauge", "Units of the phase, those finished before too"),
    "corpusmill_units_waiting": Metric("gauge", "Units that wait or are at work: no end as yet"),
    "corpusmill_padding_share": Metric("gauge", "Padding among the tokens that models were given"),
    "corpusmill_model_busy_share": Metric("gauge", "Time the model's workers spent in it", "step"),
}


@dataclass
class Metrics:
    """A watcher that keeps Ray's metrics of one pipeline; Ray must run while it is told anything.

    Every figure comes from outcomes on the driver, so nothing is counted twice that a worker did
    twice: the first receipt of a unit is the only one.
    """

    pipeline: str
    _made: dict[str, Any] = field(default_factory=dict, init=False)
    _began: float = field(default=0.0, init=False)
    _waiting: int = field(default=0, init=False)
    _measured: Counter[str] = field(default_factory=Counter, init=False)
    _seconds: Counter[str] = field(default_factory=Counter, init=False)
    _ended: threading.Event = field(default_factory=threading.Event, init=False)
    _setting: threading.Thread | None = field(default=None, init=False)

    def begins(self, stage: Stage) -> None:
        """Start the shares of a stage anew."""
        self._began, self._waiting = time.perf_counter(), stage.waiting
        self._measured, self._seconds = Counter(), Counter()
        self._ended.clear()
        self._setting = threading.Thread(target=self._keep, args=(stage,), daemon=True)
        self._setting.start()

    def saw(self, stage: Stage, outcome: Outcome) -> None:
        """Count what a unit, or a part of one, came to."""
        if isinstance(outcome, Receipt):
            self._count(stage, outcome)
        elif outcome.suspect:
            self._add(stage, "corpusmill_retries", 1)
        if is_unit(outcome):
            self._waiting -= 1
            result = "finished" if isinstance(outcome, Receipt) else "failed"
            self._add(stage, "corpusmill_units", 1, result)

    def ends(self, stage: Stage) -> None:
        """The gauges show the end for as long as Ray keeps them."""
        self._ended.set()
        if self._setting is not None:
            self._setting.join()
        self._gauges(stage)

    def _keep(self, stage: Stage) -> None:
        """Set the gauges again and again: Ray forgets one that was not set for some seconds."""
        while not self._ended.is_set():
            self._gauges(stage)
            self._ended.wait(_SECONDS)

    def _count(self, stage: Stage, receipt: Receipt) -> None:
        for name, amount in (
            ("rows", receipt.rows_out),
            ("rows_read", receipt.rows_in),
            ("tokens", receipt.tokens),
            ("bytes", sum(shard.size for shard in receipt.shards)),
            ("truncated_rows", receipt.truncated),
            ("retries", receipt.retries),
            ("model_tokens", receipt.measured.get(MODEL_TOKENS, 0)),
            ("padded_tokens", receipt.measured.get(PADDED_TOKENS, 0)),
        ):
            self._add(stage, f"corpusmill_{name}", amount)
        for reason, rows in receipt.bad.items():
            by_intent = reason.startswith(LEFT_OUT)
            name = "corpusmill_left_out_rows" if by_intent else "corpusmill_quarantined_rows"
            self._add(stage, name, rows, reason)
        for step, seconds in receipt.seconds.items():
            self._add(stage, "corpusmill_step_seconds", seconds, step)
        self._measured.update(receipt.measured)
        self._seconds.update(receipt.seconds)

    def _gauges(self, stage: Stage) -> None:
        self._set(stage, "corpusmill_units_planned", stage.units)
        self._set(stage, "corpusmill_units_waiting", max(0, self._waiting))
        if padded := self._measured[PADDED_TOKENS]:
            share = 1 - self._measured[MODEL_TOKENS] / padded
            self._set(stage, "corpusmill_padding_share", share)
        took = max(time.perf_counter() - self._began, 1e-9)
        for step, workers in stage.models.items():
            share = min(1.0, self._seconds[step] / workers / took)
            self._set(stage, "corpusmill_model_busy_share", share, step)

    def _add(self, stage: Stage, name: str, amount: float, label: str = "") -> None:
        if amount > 0:  # Ray refuses to add nothing
            self._metric(name).inc(amount, self._labels(stage, name, label))

    def _set(self, stage: Stage, name: str, value: float, label: str = "") -> None:
        self._metric(name).set(value, self._labels(stage, name, label))

    def _labels(self, stage: Stage, name: str, label: str) -> dict[str, str]:
        own = {METRICS[name].label: label} if METRICS[name].label else {}
        return {"pipeline": self.pipeline, "phase": stage.phase, "run": stage.run, **own}

    def _metric(self, name: str) -> Any:
        if name not in self._made:
            from ray.util import metrics

            found = METRICS[name]
            kind = {"counter": metrics.Counter, "gauge": metrics.Gauge}[found.kind]
            labels = (*LABELS, found.label) if found.label else LABELS
            self._made[name] = kind(name, description=found.says, tag_keys=labels)
        return self._made[name]
