"""The page itself: one HTML file that asks for nothing else and runs no script."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from operators.columns import notes
from operators.redaction import without_secrets
from pipelines.gate import Check
from pipelines.recorded import rows_held
from pipelines.report.advice import Advice
from pipelines.report.charts import charts
from pipelines.report.facts import Facts
from pipelines.verdict import in_words


def page(facts: Facts, found: list[Advice]) -> str:
    """The HTML of a report; secrets are blanked out."""
    surroundings = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    told = surroundings.get_template("page.html").render(
        facts=facts,
        advice=found,
        charts=charts(facts),
        figures=_figures(facts),
        checks=[(check, in_words(check)) for check in _checks(facts)],
        columns=[(each.name, str(each.type), notes(each)) for each in facts.schema],
        recipe=json.dumps(facts.lineage.get("readable") or {}, indent=2, ensure_ascii=False),
        versions=[_version(entry) for entry in reversed(facts.history)],
    )
    return without_secrets(told)


def _figures(facts: Facts) -> dict[str, str]:
    """What the head of the page says, in words."""
    counts, lineage = facts.counts, facts.lineage
    figures = {"rows": f"{facts.rows:,}", "files": f"{len(facts.files):,}"}
    figures["bytes"] = f"{facts.bytes:,}"
    if facts.rows:
        figures["bytes a row"] = f"{facts.bytes / facts.rows:,.0f}"
    if counts:
        rows, tokens = counts["rows_out"], counts["tokens"]
        figures |= {
            "rows read": f"{counts['rows_in']:,}",
            "rows kept from before": f"{lineage.get('kept_rows', 0):,}",
            "quarantined": f"{counts['quarantined']:,}",
            "tokens": f"{tokens:,}",
            "truncated": f"{counts['truncated']:,}"
            + (f" ({counts['truncated'] / rows:.1%} of those made)" if rows else ""),
        }
        if seconds := (counts.get("seconds") or {}).get("encode"):
            figures["tokens a second of encoding"] = f"{tokens / seconds:,.0f}"
    if (changes := lineage.get("changes")) and changes.get("parent_rows"):
        told = (f"{changes[name]:,} {name}" for name in ("added", "changed", "deleted", "reused"))
        figures["changes"] = ", ".join(told)
    names = {"source": "source", "code": "corpusmill", "recipe": "recipe", "run_key": "run"}
    figures |= {told: str(lineage[name]) for name, told in names.items() if lineage.get(name)}
    if models := lineage.get("models"):
        each = (f"{path} at {known}" if known else path for path, known in models.items())
        figures["models"] = ", ".join(each)
    return figures


def _checks(facts: Facts) -> list[Check]:
    return [Check(**check) for check in facts.lineage.get("checks", ())]


def _version(entry: Any) -> tuple[str, ...]:
    record = entry.lineage or {}
    counts = record.get("counts") or {}
    when = datetime.fromtimestamp(entry.timestamp / 1000, UTC).isoformat(" ", "seconds")
    run = record.get("run_key") or "not ours"
    return (
        str(entry.version),
        when.removesuffix("+00:00"),
        entry.operation,
        f"{rows_held(record):,}" if counts else "?",
        f"{counts.get('tokens', 0):,}" if counts else "?",
        run,
    )
