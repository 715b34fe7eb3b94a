"""A run of a part of its source must not take the place of the whole."""

from operators.errors import PreflightError
from operators.storage.table import Table
from pipelines.spec import Pipeline


def check_trial(pipeline: Pipeline) -> None:
    """PreflightError where a limited phase would publish over a table of its whole source.

    The rows beyond the limit would count as deleted.
    """
    for phase in pipeline.phases:
        if not phase.read.limit:
            continue
        table = Table(phase.write.table)
        version = table.version()
        made = (table.lineage(version) or {}) if version >= 0 else {}
        if made.get("config", {}).get("read", {}).get("limit") == 0:
            raise PreflightError(
                f"{phase.write.table}: version {version} has all rows of its source, and a run of "
                f"the first {phase.read.limit:,} would delete the others; try it on another table "
                f"(--set phases.{phase.name}.write.table=...), or say --yes"
            )
