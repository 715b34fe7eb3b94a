"""`table diff`, `erase` and `vacuum` on the command line."""

import time
from collections.abc import Callable

import pytest

from cluster.cli import status
from tests.pipeline_builders import ids_of
from tests.versions import commit, row, shard

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command in this process; its status, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = status(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def table(tmp_path) -> str:
    """Version 0 holds a, b and c; version 1 a, b changed, and d; in one file kept and one new."""
    place = str(tmp_path / "table")
    kept = shard(place, "r1", "u1", [row("a")])
    commit(place, [kept, shard(place, "r1", "u2", [row("b"), row("c")])])
    commit(place, [kept, shard(place, "r2", "u2", [row("b", "new"), row("d")])])
    return place


def test_vacuum_keeps_what_the_table_promises_unless_told_to_shorten(table, cli):
    time.sleep(0.1)
    code, out, _ = cli("table", "vacuum", table, "--retention-hours", "0")
    assert code == 0
    assert out.splitlines()[-2] == "version 0 can no longer be read then"
    code, _, err = cli("table", "vacuum", table, "--retention-hours", "0", "--delete")
    assert code == 3
    assert "promises to keep replaced files for 720 hours, not 0; version 0 could no" in err
    assert cli("table", "vacuum", table, "--retention-hours", "9000", "--delete")[0] == 0
    assert ids_of(table, 0) == ["a", "b", "c"]
    assert cli("table", "vacuum", table, "--retention-hours", "0", "--delete", "--shorten")[0] == 0
    for command in (["files", table, "--version", "0"], ["rollback", table, "0"]):
        code, _, err = cli("table", *command)
        assert (code, err.count("version 0 can no longer be read")) == (1, 1)
    assert cli("table", "files", table)[0] == 0
