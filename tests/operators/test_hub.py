"""Where a model lies: a folder, else the hub's cache; never the network in these tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from operators import hub
from operators.errors import ModelError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SCRIPT = """
from operators import hub
from operators.errors import ModelError
print(hub.locate("some/model", "")[1])
print(hub.locate("some/model", "v2")[1])
try:
    hub.locate("other/model", "")
except ModelError as error:
    print(error)
"""


def test_a_local_folder_has_no_revision(tmp_path):
    assert hub.locate(str(tmp_path), "main") == (tmp_path, "")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/no/such/folder", "no such folder"),
        ("./models/none", "no such folder"),
        ("a name with spaces", "no such folder, and not a name"),
        (__file__, "is a file"),
    ],
)
def test_a_path_that_cannot_be_a_model_gets_one_sentence(path, said):
    with pytest.raises(ModelError, match=said):
        hub.locate(path, "")


def test_a_hub_name_becomes_its_cached_snapshot_and_commit(tmp_path):
    cached = tmp_path / "hub" / "models--some--model"
    (cached / "refs").mkdir(parents=True)
    for name in ("main", "v2"):
        (cached / "refs" / name).write_text(COMMIT)
    (cached / "snapshots" / COMMIT).mkdir(parents=True)
    (cached / "snapshots" / COMMIT / "config.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(hub.__file__).parents[1],
        env={**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second, refused = done.stdout.strip().split("\n")
    assert (first, second) == (COMMIT, COMMIT)
    assert refused.startswith("model other/model: neither a local folder nor to be had from")
