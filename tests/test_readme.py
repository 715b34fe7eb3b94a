"""README.md is true: its Python runs, its config is valid, its commands exist."""

import re
import shutil
import subprocess
from pathlib import Path

import typer

from cluster.cli import app
from operators.storage.uri import absolute
from pipelines.config import parse

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_python_on_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    assert blocks("python")
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)


def test_the_config_on_the_page_is_valid():
    assert blocks("yaml")
    for block in blocks("yaml"):
        assert parse(block).phases


def demo_table() -> str:
    """Where `corpusmill demo` writes unless told otherwise."""
    (out,) = (
        each for each in typer.main.get_command(app).commands["demo"].params if each.name == "out"
    )
    return f"{out.default}/vectors"


def test_the_demo_the_config_and_the_python_on_the_page_write_different_tables():
    phases = [phase for block in blocks("yaml") for phase in parse(block).phases]
    written = re.findall(r'Write\(table="([^"]+)"', "\n".join(blocks("python")))
    tables = [*(phase.write.table for phase in phases), *map(absolute, written)]
    assert len({absolute(demo_table()), *tables}) == 1 + len(phases) + len(written) > 2
    asked = re.findall(r"`corpusmill (?:search|table \w+) (\S+?)[ `]", PAGE)
    assert set(map(absolute, asked)) <= set(tables)


def test_what_the_demo_is_shown_to_say_names_the_table_that_it_writes():
    said = re.findall(r"^(?:phase )?vectors: version 0 of (\S+?):?(?:\s|$)", PAGE, re.MULTILINE)
    assert said == [f"…/{demo_table()}"] * 2


def test_make_clean_removes_the_demo_and_leaves_the_tables_of_others(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    theirs = tmp_path / "out" / "docs" / "part.parquet"
    ours = tmp_path / demo_table() / "part.parquet"
    for path in (theirs, ours):
        path.parent.mkdir(parents=True)
        path.touch()
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
    assert theirs.exists()
    assert not ours.parent.parent.exists()


def test_the_commands_on_the_page_exist():
    known = set(typer.main.get_command(app).commands)
    named = set(re.findall(r"\bcorpusmill ([a-z]+)\b", "\n".join(blocks("sh"))))
    named |= set(re.findall(r"`corpusmill ([a-z]+)\b", PAGE))
    assert named
    assert named <= known


def test_the_make_targets_on_the_page_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake (?:[A-Z]+=\w+ )?([a-z-]+)\b", "\n".join(blocks("sh"))))
    assert named
    assert named <= targets
