"""Trying a config on a part of its source, and looking at the rows that were put aside."""

from collections.abc import Sequence
from pathlib import Path

from cluster.cli import status
from tests.pipeline_builders import (
    Row,
    config,
    good_rows,
    ids_of,
    lines,
    vectors_phase,
    write_files,
)


def made(folder: Path, model: Path, rows: Sequence[Row]) -> tuple[str, str]:
    """A table of those rows, and its config."""
    docs, table, place = str(folder / "docs"), str(folder / "out"), folder / "config.yaml"
    write_files(docs, {"a.jsonl": lines(rows)})
    phase = vectors_phase(docs, table, gate={"max_bad_rows": 2})
    place.write_text(config(model, vectors=phase))
    assert status(["run", str(place)]) == 0
    return table, str(place)


def test_a_limited_run_does_not_take_the_place_of_the_whole(tmp_path, tiny_model, cli):
    table, place = made(tmp_path, tiny_model, good_rows(0, 40))
    code, _, err = cli("run", place, "--limit", "25")
    assert code == 3
    assert "version 0 has all rows of its source, and a run of the first 25 would delete" in err
    assert len(ids_of(table)) == 40
    elsewhere = f"phases.vectors.write.table={tmp_path / 'tried'}"
    assert cli("run", place, "--limit", "25", "--set", elsewhere)[0] == 0
    assert cli("run", place, "--limit", "20", "--set", elsewhere)[0] == 0
    assert len(ids_of(str(tmp_path / "tried"))) == 20
    assert cli("run", place, "--limit", "25", "--yes")[0] == 0
    assert len(ids_of(table)) == 25


def test_quarantined_rows_are_shown_with_their_reasons(tmp_path, tiny_model, cli):
    rows = [*good_rows(0, 30), {"id": "blank", "text": " "}, {"id": "none"}]
    table, _ = made(tmp_path, tiny_model, rows)
    shown = cli("table", "bad", table)[1].splitlines()
    assert sorted(line.split("\t")[0] for line in shown) == ["blank", "none"]
    assert all("a.jsonl:" in line and line.split("\t")[2] for line in shown)
    assert len(cli("table", "bad", table, "--limit", "1")[1].splitlines()) == 1


def test_a_version_without_quarantined_rows_says_so(tmp_path, tiny_model, cli):
    table, _ = made(tmp_path, tiny_model, good_rows(0, 9))
    assert cli("table", "bad", table)[1] == f"version 0 of {table} has no quarantined row\n"
