"""Look for known vulnerabilities in what is installed; a package nobody could look up is no pass.

pip-audit alone says "no known vulnerabilities" and ends with 0 where its index knows none of the
packages, as a mirror without PyPI's JSON pages does.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

AUDIT = [Path(sys.executable).with_name("pip-audit"), "--local", "--skip-editable", "-f", "json"]
MOST_SKIPPED = 0.1
"""Share that may be unknown: builds of torch with a local version, packages of one's own."""


def told(report: dict[str, Any]) -> Iterator[str]:
    """Why the report is no pass, a line a reason; nothing for one that is."""
    packages = report["dependencies"]
    skipped = [each["name"] for each in packages if "skip_reason" in each]
    for each in packages:
        for found in each.get("vulns", ()):
            fixed = ", ".join(found.get("fix_versions", ())) or "no version"
            yield f"{each['name']} {each['version']}: {found['id']}, fixed in {fixed}"
    if len(skipped) > MOST_SKIPPED * len(packages):
        yield (
            f"{len(skipped)} of {len(packages)} packages could not be looked up, the first is "
            f"{skipped[0]}; run this where PyPI's JSON pages can be reached"
        )


def main() -> int:
    """Run pip-audit and print what is wrong."""
    done = subprocess.run([*AUDIT, "--progress-spinner=off"], stdout=subprocess.PIPE, check=False)
    if not done.stdout.startswith(b"{"):
        return done.returncode or 1
    report = json.loads(done.stdout)
    lines = list(told(report))
    print(*(lines or [f"{len(report['dependencies'])} packages, nothing known"]), sep="\n")
    return min(len(lines), 1)


if __name__ == "__main__":
    sys.exit(main())
