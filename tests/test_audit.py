"""`make audit` fails for a vulnerability, and for packages that nobody could look up."""

import runpy
from pathlib import Path
from typing import Any

import pytest

told = runpy.run_path(str(Path(__file__).parents[1] / ".ci/audit.py"))["told"]
FINE = {"name": "fine", "version": "1", "vulns": []}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}
FOUND = {"id": "PYSEC-1", "fix_versions": ["1.1"], "aliases": [], "description": "bad"}
BAD = {"name": "bad", "version": "1", "vulns": [FOUND]}


@pytest.mark.parametrize(
    ("packages", "lines"),
    [
        ([FINE] * 3, []),
        ([FINE, BAD], ["bad 1: PYSEC-1, fixed in 1.1"]),
        ([FINE] * 9 + [UNKNOWN], []),
        ([FINE, UNKNOWN], ["1 of 2 packages could not be looked up"]),
        ([UNKNOWN, BAD], ["bad 1: PYSEC-1", "1 of 2 packages could not be looked up"]),
    ],
)
def test_only_a_report_that_looked_at_nearly_everything_and_found_nothing_passes(
    packages: list[dict[str, Any]], lines: list[str]
) -> None:
    found = list(told({"dependencies": packages}))
    assert len(found) == len(lines)
    assert all(each.startswith(line) for each, line in zip(found, lines, strict=True))
