"""CONTRIBUTING.md is true to the letter: its operator is bound, run and named in a config."""

import ast
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pytest

from operators import columns
from operators.base import Operator
from operators.contract import conform
from operators.registry import OPERATORS
from pipelines.config import parse

PAGE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
PYTHON = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
YAML = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The page's code blocks as one module, after the lines it asks for in columns and registry."""
    field = re.search(r'`N_WORDS = pa\.field\("(\w+)", pa\.int32\(\)\)`', PAGE)
    monkeypatch.setattr(columns, "N_WORDS", pa.field(field[1], pa.int32()), raising=False)
    path = tmp_path / "count_words.py"
    path.write_text("\n".join(PYTHON))
    spec = importlib.util.spec_from_file_location("count_words", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "count_words", module)
    spec.loader.exec_module(module)
    monkeypatch.setitem(OPERATORS, module.CountWords.name, module.CountWords)
    return module


def test_the_example_is_an_operator(example):
    assert isinstance(example.CountWords(), Operator)


def test_the_example_gives_what_it_bound(example):
    rows = pa.table({"text": ["two words", " "]})
    bound = example.CountWords().bind(rows.schema)
    with example.CountWords().open() as count:
        assert conform(count(rows), bound)["n_words"].to_pylist() == [2, 0]


def test_the_tests_on_the_page_pass(example):
    tests = [value for name, value in vars(example).items() if name.startswith("test_")]
    assert len(tests) == 3
    for test in tests:
        test()


def test_the_config_on_the_page_names_the_example(example):
    (phase,) = parse(YAML[0]).phases
    assert phase.steps[0].operator == example.CountWords(at_least=3)


def test_a_small_operator_stays_within_25_lines_of_code():
    (operator,) = [node for node in ast.parse(PYTHON[0]).body if isinstance(node, ast.ClassDef)]
    lines = ast.unparse(operator).splitlines()
    assert len([line for line in lines if line.strip()]) <= 25
