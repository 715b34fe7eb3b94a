"""What a candidate version must satisfy before it is published (DESIGN §4b, docs/gate.md)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from operators.storage.receipts import Receipt
from pipelines.canaries import Recall
from pipelines.resample import Resampled
from pipelines.spec import Canaries, Gate
from pipelines.update import FROM_NOTHING, Update
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


@dataclass(frozen=True)
class Check:
    """One figure that a gate looked at, and what it had to be."""

    name: str
    """The gate's field behind it, or what it counts."""
    found: float
    least: float | None = None
    most: float | None = None
    reason: str = ""
    """Why the version may not be published; empty where the figure is within its bound."""
    final: bool = False
    """Nobody can publish in spite of it."""


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


def checks_of_counts(
    gate: Gate, counts: Counts, kept: int = 0, update: Update = FROM_NOTHING
) -> tuple[Check, ...]:
    """What the counts say; `kept` rows of the last version stay as they are.

    A share is one of the whole version, so it does not matter how much of it a run had to write.
    """
    return (
        *_of_rows(gate, counts, kept),
        _of_units(gate, counts),
        *_of_vectors(gate, counts),
        *([_of_deleted(gate, update)] if update.parent_rows else []),
    )


def check_of_sample(found: Resampled) -> Check:
    """Whether rows encoded again are what is stored."""
    reason = found.problem
    if not reason and found.differing:
        reason = (
            f"{found.differing} of {found.rows} unchanged rows encoded again are not what is "
            f"stored: the lowest cosine is {found.lowest:.6f}, the least allowed {found.least:g}; "
            "a library or a file that no fingerprint names has changed"
        )
    return Check("sample", round(found.lowest, 6), least=found.least, reason=reason)


def check_of_canaries(canaries: Canaries, found: Recall, last: Mapping[str, Any] | None) -> Check:
    """Whether the queries find their documents as in the `last` version, as its commit recorded.

    A figure for other queries or another k is none.
    """
    least, why = canaries.min_recall, f"min_recall {canaries.min_recall:g}"
    if last and (last.get("queries"), last.get("k")) == (found.queries, found.k):
        before = float(last["recall"])
        if before - canaries.tolerance > least:
            least = round(before - canaries.tolerance, 6)
            why = f"the last version's {before:g} less tolerance {canaries.tolerance:g}"
    figure = f"canary queries have recall@{found.k} {found.recall:g}"
    reason = f"{figure}, less than {why}" if found.recall < least else ""
    return Check("canaries", found.recall, least=least, reason=reason)


def refusals(checks: Sequence[Check]) -> tuple[str, ...]:
    """Why a version may not be published; empty when it may."""
    return tuple(check.reason for check in checks if check.reason)


def _of_rows(gate: Gate, counts: Counts, kept: int) -> list[Check]:
    rows, read = kept + counts.rows_out, kept + counts.rows_in
    wanted = read - sum(counts.left_out.values())
    least = gate.min_rows if gate.min_rows > 1 else _share(gate.min_rows, wanted)
    most = gate.max_bad_rows if gate.max_bad_rows >= 1 else _share(gate.max_bad_rows, read)
    few, bad = "", ""
    if rows < least:
        few = f"{rows} rows, fewer than min_rows {gate.min_rows:g}"
    if counts.quarantined > most:
        why = ", ".join(f"{count} × {reason}" for reason, count in counts.bad.items())
        bad = (
            f"{counts.quarantined} of {read} rows quarantined ({why}), "
            f"more than max_bad_rows {gate.max_bad_rows:g}"
        )
    return [
        Check("rows", rows, least=1, reason="" if rows else "no row is left", final=True),
        Check("min_rows", rows, least=least, reason=few),
        Check("max_bad_rows", counts.quarantined, most=most, reason=bad),
    ]


def _of_units(gate: Gate, counts: Counts) -> Check:
    failed, reason = len(counts.bad_units), ""
    if failed > gate.max_bad_units:
        first = next(iter(counts.bad_units.values()))
        units = "1 unit" if failed == 1 else f"{failed} units"
        reason = (
            f"{units} failed, more than max_bad_units {gate.max_bad_units} (the first: {first})"
        )
    return Check("max_bad_units", failed, most=gate.max_bad_units, reason=reason)


def _of_vectors(gate: Gate, counts: Counts) -> list[Check]:
    broken = f"{counts.not_finite} vectors are not finite" if counts.not_finite else ""
    found = [Check("not finite", counts.not_finite, most=0, reason=broken, final=True)]
    if gate.norm and counts.max_norm:
        low, high = gate.norm
        bounds = f"norm [{low:g}, {high:g}]"
        short = f"the shortest vector is {counts.min_norm:.6g} long, outside {bounds}"
        long = f"the longest vector is {counts.max_norm:.6g} long, outside {bounds}"
        found += [
            Check("shortest", counts.min_norm, low, None, short if counts.min_norm < low else ""),
            Check("longest", counts.max_norm, None, high, long if counts.max_norm > high else ""),
        ]
    return found


def _of_deleted(gate: Gate, update: Update) -> Check:
    most = gate.max_deleted
    most = most if most >= 1 else _share(most, update.parent_rows)
    reason = ""
    if update.deleted > most:
        reason = (
            f"{update.deleted} of the last version's {update.parent_rows} rows are gone, "
            f"more than max_deleted {gate.max_deleted:g}"
        )
    return Check("max_deleted", update.deleted, most=most, reason=reason)


def _share(share: float, rows: int) -> float:
    """A share of rows; 0.07 of 100 is 7, which binary fractions alone would not say."""
    return round(share * rows, 6)
