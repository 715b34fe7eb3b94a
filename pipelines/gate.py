"""What a candidate version must satisfy before it is published (DESIGN §4b)."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from operators.storage.receipts import Receipt
from pipelines.spec import Gate
from pipelines.work import bad_rows, left_out


@dataclass(frozen=True)
class Counts:
    """What a run came to, over all of its receipts."""

    rows_in: int
    rows_out: int
    quarantined: int
    tokens: int
    truncated: int
    bad: dict[str, int]
    min_norm: float
    max_norm: float
    not_finite: int
    bad_units: dict[str, str]
    seconds: dict[str, float]
    left_out: dict[str, int] = field(default_factory=dict)
    """Rows put aside by intent, such as queries that nobody judged; no fault."""


def counted(receipts: Iterable[Receipt], bad_units: dict[str, str]) -> Counts:
    """Add up receipts; `bad_units` are the units that came to none, with their reasons."""
    found = list(receipts)
    norms = [receipt for receipt in found if receipt.max_norm > 0]
    bad = bad_rows(found)
    seconds: dict[str, float] = {}
    for receipt in found:
        for step, took in receipt.seconds.items():
            seconds[step] = seconds.get(step, 0.0) + took
    return Counts(
        rows_in=sum(receipt.rows_in for receipt in found),
        rows_out=sum(receipt.rows_out for receipt in found),
        quarantined=bad.total(),
        tokens=sum(receipt.tokens for receipt in found),
        truncated=sum(receipt.truncated for receipt in found),
        bad=dict(sorted(bad.items())),
        min_norm=min((receipt.min_norm for receipt in norms), default=0.0),
        max_norm=max((receipt.max_norm for receipt in norms), default=0.0),
        not_finite=sum(receipt.not_finite for receipt in found),
        bad_units=bad_units,
        seconds={step: round(took, 3) for step, took in seconds.items()},
        left_out=dict(sorted(left_out(found).items())),
    )


def refusals(gate: Gate, counts: Counts, *, adds: bool = False) -> tuple[str, ...]:
    """Why these counts may not be published; empty when they may.

    `adds`: the rows come on top of those that are there, so that none is enough.
    """
    reasons = []
    if counts.rows_out == 0 and not adds:
        reasons.append("no row is left")
    least = gate.min_rows if gate.min_rows > 1 else gate.min_rows * counts.rows_in
    if counts.rows_out < least:
        reasons.append(f"{counts.rows_out} rows, fewer than min_rows {gate.min_rows:g}")
    most = gate.max_bad_rows if gate.max_bad_rows >= 1 else gate.max_bad_rows * counts.rows_in
    if counts.quarantined > most:
        why = ", ".join(f"{count} × {reason}" for reason, count in counts.bad.items())
        reasons.append(
            f"{counts.quarantined} of {counts.rows_in} rows quarantined ({why}), "
            f"more than max_bad_rows {gate.max_bad_rows:g}"
        )
    if len(counts.bad_units) > gate.max_bad_units:
        first = next(iter(counts.bad_units.values()))
        failed = "1 unit" if len(counts.bad_units) == 1 else f"{len(counts.bad_units)} units"
        reasons.append(
            f"{failed} failed, more than max_bad_units {gate.max_bad_units} (the first: {first})"
        )
    if counts.not_finite:
        reasons.append(f"{counts.not_finite} vectors are not finite")
    if gate.norm and counts.max_norm and not _within(gate.norm, counts):
        low, high = gate.norm
        reasons.append(
            f"vector lengths {counts.min_norm:.6g} to {counts.max_norm:.6g} leave "
            f"norm [{low:g}, {high:g}]"
        )
    return tuple(reasons)


def _within(bounds: tuple[float, float], counts: Counts) -> bool:
    return bounds[0] <= counts.min_norm and counts.max_norm <= bounds[1]
