"""What to do next with a table, the most urgent first: each advice with the figure behind it."""

from collections.abc import Iterator
from dataclasses import dataclass

from operators.quantize.codes import FINEST_FIRST
from pipelines.report.facts import Facts

_TRUNCATED = 0.05
"""Share of rows cut at max_length from which on it is worth a word."""
_ALIKE = 0.9
"""Mean cosine of two texts from which on vectors hardly tell texts apart."""
_SHORT = 0.05
"""Share of queries short of negatives."""
_MINED = 0.05
"""Share of hidden positives that were mined as negatives."""
_LARGE = 100_000_000
"""Bytes of float vectors from which on codes are worth a look."""


@dataclass(frozen=True)
class Advice:
    """One thing to do."""

    what: str
    """What was found, with its figure."""
    do: str
    """What to do about it."""
    command: str = ""
    """A command to begin with, where there is one."""


def advice(facts: Facts) -> list[Advice]:
    """Everything that stands out, the most urgent first; empty where nothing does."""
    each = (_origin, _alike, _lost, _cut, _mined, _watch, _smaller)
    return [one for rule in each for one in rule(facts)]


def _origin(facts: Facts) -> Iterator[Advice]:
    if not facts.lineage:
        yield Advice(
            "This version was committed by something else than corpusmill.",
            "Nothing is known of its rows; bring back a version that is, or make it again.",
            f"corpusmill table history {facts.uri}",
        )
    if forced := facts.lineage.get("forced"):
        yield Advice(
            f"It was published in spite of its gate: {'; '.join(forced['reasons'])}.",
            f"{forced['by']} said why: {forced['because']}. See whether that still holds.",
            f"corpusmill table rollback {facts.uri} {max(0, facts.version - 1)}",
        )


def _alike(facts: Facts) -> Iterator[Advice]:
    """Vectors that do not tell texts apart: a wrong tokenizer, pooling or prompt."""
    seen = facts.looked
    check = "Encode two texts by hand: pooling, prompt, special tokens and max_length are suspects."
    if seen.equal and seen.compared and seen.equal > 0.01 * seen.compared:
        share = f"{seen.equal / seen.compared:.1%} of {seen.compared:,} vectors looked at"
        yield Advice(f"{share} are the vector of another text as well.", check)
    elif seen.cosines is not None and len(seen.cosines) and seen.cosines.mean() > _ALIKE:
        mean = f"{seen.cosines.mean():.3f}"
        yield Advice(f"Two texts drawn at random have a cosine of {mean} on average.", check)


def _lost(facts: Facts) -> Iterator[Advice]:
    counts = facts.counts
    if units := counts.get("bad_units"):
        first = next(iter(units.values()))
        yield Advice(
            f"{_many(len(units), 'unit')} of the source could not be read; the first: {first}.",
            "Mend the source and run again: only what is missing is made.",
        )
    if bad := counts.get("quarantined", 0):
        why = ", ".join(f"{count:,} × {reason}" for reason, count in counts["bad"].items())
        yield Advice(
            f"{_many(bad, 'row')} of {counts['rows_in']:,} are quarantined: {why}.",
            "They lie, each with its reason, in the table's folder _quarantine.",
            f"corpusmill table bad {facts.uri}",
        )


def _cut(facts: Facts) -> Iterator[Advice]:
    counts = facts.counts
    cut, rows = counts.get("truncated", 0), counts.get("rows_out", 0)
    if "encode" not in facts.steps() or not rows or cut < _TRUNCATED * rows:
        return
    yield Advice(
        f"{cut / rows:.1%} of the rows encoded by this run are longer than the model was let read.",
        "Cut documents into passages, or raise max_length where the model reads more: "
        "the step passages, docs/long-documents.md.",
    )


def _mined(facts: Facts) -> Iterator[Advice]:
    audit = facts.audit
    if audit is None or not audit.queries:
        return
    if audit.masked and audit.masked_mined > _MINED * audit.masked:
        share = f"{audit.masked_mined / audit.masked:.0%} of {audit.masked:,} hidden positives"
        yield Advice(
            f"{share} were mined as negatives, and so are unjudged ones, probably.",
            "Lower a rule's margin, or add a rule that asks a teacher: docs/training.md.",
            f"corpusmill table audit {facts.uri} --examples 10",
        )
    if audit.short > _SHORT * audit.queries:
        share = f"{audit.short / audit.queries:.0%} of {audit.queries:,} queries"
        yield Advice(
            f"{share} have fewer candidates left than negatives asked for.",
            "Raise the depth of mining, or loosen the rule that drops most.",
            f"corpusmill table audit {facts.uri} --examples 10",
        )


def _watch(facts: Facts) -> Iterator[Advice]:
    gate = facts.lineage.get("gate") or {}
    if facts.version != facts.newest:
        yield Advice(
            f"Version {facts.newest} is the newest, this page is of version {facts.version}.",
            "What changed between the two can be listed.",
            f"corpusmill table diff {facts.uri} {facts.version} {facts.newest}",
        )
    if gate and "encode" in facts.steps() and not gate.get("canaries"):
        yield Advice(
            "No canary query watches this table: a version that finds nothing would be published.",
            "Name a few queries with their documents under write: gate: canaries (docs/gate.md).",
        )


def _smaller(facts: Facts) -> Iterator[Advice]:
    held = [name for name in FINEST_FIRST if name in facts.schema.names]
    if held != ["embedding"] or facts.bytes < _LARGE:
        return
    yield Advice(
        f"Its {facts.bytes / 1e9:.1f} GB are mostly floats.",
        "Measure what fewer bytes a vector would lose on this table.",
        f"corpusmill compress {facts.uri}",
    )


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
