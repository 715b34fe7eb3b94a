"""A run and the leases of its tables."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.cli import status
from operators.storage import uri as store
from operators.storage.lease import LEASES, Holder, held, take
from operators.storage.table import Table
from tests.pipeline_builders import good_rows, ids_of, lines, write_files


@pytest.fixture
def place(tmp_path: Path) -> str:
    """A config of two phases, the second of which copies the first's table."""
    docs = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(good_rows(0, 10))})
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    phases = {
        "one": {"read": {"uri": docs}, "write": {"table": one}},
        "two": {"read": {"phase": "one"}, "write": {"table": two}},
    }
    (tmp_path / "config.yaml").write_text(json.dumps({"phases": phases}))
    return str(tmp_path / "config.yaml")


def test_a_run_keeps_out_of_every_table_when_one_is_worked_on(place, tmp_path, capsys):
    with held(str(tmp_path / "two"), Holder.this_process()):
        assert status(["run", place]) == 5
    assert f"table {tmp_path / 'two'}: another run is at work" in capsys.readouterr().err
    assert not (tmp_path / "one").exists()
    assert status(["run", place]) == 0
    assert len(ids_of(str(tmp_path / "two"))) == 10


def test_a_run_leaves_no_lease_behind_however_it_ends(place, tmp_path):
    assert status(["run", place, "--set", "phases.two.write.gate.min_rows=11"]) == 4
    assert status(["run", place]) == 0
    assert not list(tmp_path.glob(f"*/{LEASES}"))


def test_without_the_lease_a_run_works_beside_another(place, tmp_path):
    with held(str(tmp_path / "one"), Holder.this_process()) as lease:
        assert status(["run", place, "--no-lease"]) == 0
        assert lease.renew()
    assert Table(str(tmp_path / "two")).version() == 0


def test_where_no_lease_can_be_written_the_run_says_so_and_goes_on(place, tmp_path, capsys):
    store.write_bytes(str(tmp_path / "one" / "_corpusmill" / "lease"), b"in the way")
    assert status(["run", place]) == 0
    assert "phase one: goes on without a lease: " in capsys.readouterr().err
    assert len(ids_of(str(tmp_path / "one"))) == 10


def test_the_lease_of_a_killed_run_holds_the_next_one_up_no_longer(place, tmp_path, project):
    script = (
        "import os, signal, sys; from operators.storage.lease import Holder, take\n"
        "take(sys.argv[1], Holder.this_process()); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = [sys.executable, "-c", script, str(tmp_path / "one")]
    assert subprocess.run(killed, cwd=project, check=False).returncode == -9
    assert len(list(tmp_path.glob(f"one/{LEASES}/*"))) == 1
    assert status(["run", place]) == 0


def test_a_path_that_is_no_table_gets_no_lease(place, tmp_path, capsys):
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "letters.txt").write_text("precious")
    assert status(["run", place]) == 1
    assert "output path that is not a table: holds letters.txt" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "two").iterdir()] == ["letters.txt"]
    assert not (tmp_path / "one").exists()
    take(str(tmp_path / "one"), Holder.this_process())
