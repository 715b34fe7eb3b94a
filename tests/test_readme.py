"""README.md is true: its Python runs, its config is valid, its commands exist."""

import re
from pathlib import Path

import typer

from cluster.cli import app
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
