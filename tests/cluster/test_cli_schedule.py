"""`corpusmill schedule` on the command line: what its runs are started with."""

import json

import pytest

from tests.pipeline_builders import good_rows, lines, write_files


@pytest.mark.parametrize("name", ["operators", "pipelines", "cluster"])
def test_a_run_finds_our_packages_though_the_current_folder_has_one_of_their_name(
    tmp_path, monkeypatch, cli, name
):
    docs = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(good_rows(0, 3))})
    phase = {"read": {"uri": docs}, "write": {"table": str(tmp_path / "out")}}
    (tmp_path / "nightly.yaml").write_text(json.dumps({"phases": {"rows": phase}}))
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    code, out, err = cli("schedule", "nightly.yaml", "--cron", "0 3 * * *", "--once")
    assert code == 0, err
    assert "  exit 0  " in out
