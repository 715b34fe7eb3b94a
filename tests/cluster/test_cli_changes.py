"""`table diff`, `erase` and `vacuum` on the command line."""

import time

import pytest

from tests.pipeline_builders import ids_of
from tests.versions import commit, row, shard


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


def test_diff_tells_what_changed_and_writes_it_where_asked(table, tmp_path, cli):
    code, out, _ = cli("table", "diff", table, "0", "1")
    assert (code, out.splitlines()) == (
        0,
        [
            f"{table}, from version 0 to version 1: 1 added, 1 changed, 1 deleted, in 2 files",
            "added:     d",
            "changed:   b",
            "deleted:   c",
        ],
    )
    place = str(tmp_path / "feed")
    code, out, _ = cli("table", "diff", table, "empty", "--out", place)
    assert code == 0
    assert out.splitlines()[0] == (
        f"{table}, from nothing to version 1: 3 added, 0 changed, 0 deleted, in 2 files"
    )
    assert (tmp_path / "feed" / "manifest.json").is_file()


def test_erase_says_what_goes_asks_and_proves_it(table, tmp_path, cli):
    named = tmp_path / "ids.txt"
    named.write_text("b\n\nc\nnobody\n")
    code, out, err = cli("table", "erase", table, "--ids", str(named))
    assert code == 3
    assert out.splitlines() == [
        "ids that are in no table of rows here: 1 of 3",
        "1 row of version 1 goes; 1 file is written without what is erased, 2 files are deleted",
        "versions 0 to 1 can no longer be read then",
    ]
    assert f"erasing from {table} cannot be taken back; say --yes to do it" in err
    assert ids_of(table) == ["a", "b", "d"]
    code, out, _ = cli("table", "erase", table, "--ids", str(named), "--yes")
    assert code == 0
    assert out.splitlines()[3] == f"version 2 of {table}: 1 row erased"
    assert "JSON files: none holds any of the ids" in out
    assert ids_of(table) == ["a", "d"]
    code, out, _ = cli("table", "erase", table, "--ids", str(named))
    assert (code, out.splitlines()[1]) == (0, "nothing to erase")
    assert "erased:            1 row of it, the last at 20" in cli("table", "show", table)[1]
    for command in (["rollback", table, "0"], ["diff", table, "0", "2"], ["diff", table, "1"]):
        code, _, err = cli("table", *command)
        assert (code, err.count("can no longer be read")) == (1, 1)


def test_an_id_ends_with_its_line_and_not_at_other_characters_that_python_ends_lines_at(
    tmp_path, cli
):
    table, named = str(tmp_path / "table"), tmp_path / "ids.txt"
    odd = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x1dh\x1ei\rj"
    commit(table, [shard(table, "r1", "u1", [row("a"), row(odd), row("b")])])
    named.write_bytes(f"{odd}\r\nnobody".encode())
    code, out, _ = cli("table", "erase", table, "--ids", str(named), "--yes")
    assert code == 0
    assert out.splitlines()[0] == "ids that are in no table of rows here: 1 of 2"
    assert ids_of(table) == ["a", "b"]


@pytest.mark.parametrize(
    ("data", "phrase"),
    [
        (b"\n  \n", "it holds no id; one a line would be right"),
        (b"\xff\xfe", "not a text file in UTF-8"),
        (None, "not found"),
    ],
)
def test_a_file_of_ids_that_is_none_is_refused(table, tmp_path, cli, data, phrase):
    named = tmp_path / "ids.txt"
    if data is not None:
        named.write_bytes(data)
    code, _, err = cli("table", "erase", table, "--ids", str(named), "--yes")
    assert code == 2
    assert phrase in err


@pytest.mark.parametrize(
    ("arguments", "code", "phrase"),
    [
        (["diff", "{table}", "first"], 2, "first: a version is a number, or `empty`"),
        (["diff", "{table}", "1"], 2, "version 1 against itself"),
        (["diff", "{table}", "0", "9"], 1, "it has no version 9; the newest is 1"),
        (["diff", "{table}", "0", "--out", "{table}"], 2, "it is not empty; name a new folder"),
        (["diff", "{table}x", "0"], 1, "there is no table here"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(table, cli, arguments, code, phrase):
    found, _, err = cli("table", *(each.format(table=table) for each in arguments))
    assert found == code
    assert phrase in err
    assert "Traceback" not in err
