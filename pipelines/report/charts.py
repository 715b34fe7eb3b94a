"""Figures as bars: what a page draws."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from pipelines.recorded import rows_held
from pipelines.report.facts import Facts
from pipelines.report.looked import Figures

_BINS = 32
_VERSIONS = 40
"""Versions that are drawn, the newest ones."""


@dataclass(frozen=True)
class Bar:
    """One bar; `told` says it in words."""

    label: str
    height: float
    told: str


@dataclass(frozen=True)
class Chart:
    """Bars from left to right under a title, with a sentence about them."""

    title: str
    bars: tuple[Bar, ...]
    note: str
    across: bool = False
    """Drawn from the left, each beside its label: few bars with long names."""

    @property
    def highest(self) -> float:
        return max((bar.height for bar in self.bars), default=0.0)


def charts(facts: Facts) -> list[Chart]:
    """Every chart that the table has figures for."""
    each = (_versions, _tokens, _cosines, _logits, _seconds, _dropped, _ranks)
    return [chart for make in each for chart in make(facts) if chart.highest > 0]


def _versions(facts: Facts) -> Iterator[Chart]:
    """Rows and encoded tokens of each version."""
    rows, tokens = [], []
    for entry in facts.history[-_VERSIONS:]:
        record = entry.lineage or {}
        counts = record.get("counts") or {}
        name, held = f"v{entry.version}", rows_held(record)
        rows.append(Bar(name, held, f"version {entry.version}: {held:,} rows"))
        read = counts.get("tokens", 0)
        tokens.append(Bar(name, read, f"version {entry.version}: {read:,} tokens"))
    if len(rows) > 1:
        yield Chart("Rows by version", tuple(rows), "What each version holds.")
        yield Chart("Tokens by version", tuple(tokens), "What each version cost to make.")


def _tokens(facts: Facts) -> Iterator[Chart]:
    found = facts.looked.tokens
    if found is not None and len(found):
        low, middle, high = np.percentile(found, [10, 50, 90])
        note = f"Of {len(found):,} rows; half have at most {middle:,.0f}, eight in ten "
        note += f"{low:,.0f} to {high:,.0f}. What lies beyond max_length was cut there."
        yield Chart("Tokens of a row", _histogram(found, "tokens", 0), note)


def _cosines(facts: Facts) -> Iterator[Chart]:
    found = facts.looked.cosines
    if found is not None and len(found):
        note = f"Of {len(found):,} pairs of texts drawn at random; mean {found.mean():.3f}. "
        note += "The nearer to 1, the less the vectors tell texts apart."
        yield Chart("Cosines between texts", _histogram(found, "cosine", 2), note)


def _logits(facts: Facts) -> Iterator[Chart]:
    found = facts.looked.logits
    if found is not None and len(found):
        note = f"Of {len(found):,} pairs; mean {found.mean():.2f}, deviation {found.std():.2f}."
        yield Chart("Teachers' scores", _histogram(found, "score", 1), note)


def _seconds(facts: Facts) -> Iterator[Chart]:
    note = "Seconds of all workers together, of the run that made the version."
    yield _named("Time by step", facts.counts.get("seconds") or {}, "s", note)


def _dropped(facts: Facts) -> Iterator[Chart]:
    if facts.audit:
        note = f"Of {facts.audit.candidates:,} candidates, by the first rule that dropped them."
        yield _named("Dropped by rule", facts.audit.dropped, "candidates", note)


def _ranks(facts: Facts) -> Iterator[Chart]:
    if facts.audit:
        note = f"Of {facts.audit.negatives:,} negatives, those drawn at random aside."
        yield _named("Negatives by rank", facts.audit.ranks, "negatives", note)


def _named(title: str, found: Mapping[str, float], unit: str, note: str) -> Chart:
    bars = (Bar(name, each, f"{name}: {each:,.6g} {unit}") for name, each in found.items())
    return Chart(title, tuple(bars), note, across=True)


def _histogram(found: Figures, unit: str, digits: int) -> tuple[Bar, ...]:
    counts, edges = np.histogram(found, bins=min(_BINS, len(np.unique(found))))
    return tuple(
        Bar(
            f"{low:,.{digits}f}",
            int(count),
            f"{low:,.{digits}f} to {high:,.{digits}f} {unit}: {count:,} rows",
        )
        for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True)
    )
