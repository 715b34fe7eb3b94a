"""The house rules: who imports whom, how long a file is, what it may be called."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("operators", "pipelines", "cluster")
FOLDERS = (*PACKAGES, "tests", "benchmarks")
STORES = {"fsspec", "s3fs", "obstore", "deltalake", "botocore", "boto3", "aiobotocore"}
HEAVY = ("torch", "ray", "transformers")
VAGUE = {"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"}
LONGEST = 300


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The top-level names a file imports, also inside functions and type-checking blocks."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module if node.level == 0 else "a relative import")
    return {name.partition(".")[0] for name in names}


def importers(folder: str, forbidden: set[str]) -> Iterator[str]:
    for path in sources(folder):
        for name in sorted(imported(path) & forbidden):
            yield f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("operators", {"pipelines", "cluster", "ray", "tests", "benchmarks"}),
        ("pipelines", {"cluster", "ray", "tests", "benchmarks"}),
        ("cluster", {"tests", "benchmarks"}),
    ],
)
def test_imports_point_down_and_only_cluster_imports_ray(folder, forbidden):
    assert list(importers(folder, forbidden)) == []


@pytest.mark.parametrize("folder", PACKAGES)
def test_only_storage_talks_to_stores_and_tables(folder):
    found = importers(folder, STORES)
    assert [line for line in found if not line.startswith("operators/storage/")] == []


@pytest.mark.parametrize("folder", PACKAGES)
def test_packages_import_by_absolute_names(folder):
    assert list(importers(folder, {"a relative import"})) == []


def test_the_walk_sees_an_import_inside_a_function(tmp_path):
    path = tmp_path / "late.py"
    path.write_text("def f():\n    from ray.data import Dataset\n    import s3fs.core as c\n")
    assert imported(path) == {"ray", "s3fs"}


def test_no_file_is_longer_than_300_lines():
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in [*sources(*FOLDERS), *ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    }
    assert lengths
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


def test_no_module_has_a_vague_name_or_one_of_the_standard_library():
    names = {path: path.stem for path in sources(*PACKAGES, "benchmarks")}
    taken = VAGUE | set(sys.stdlib_module_names)
    assert [str(path) for path, name in names.items() if name in taken] == []


def test_tests_are_no_package():
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_every_package_is_typed():
    assert all((ROOT / package / "py.typed").is_file() for package in PACKAGES)


@pytest.mark.parametrize("module", ["pipelines.plan", "pipelines.config", "operators.registry"])
def test_planning_imports_neither_torch_nor_ray_nor_transformers(module):
    code = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name
)
def test_every_config_in_the_folder_is_valid(path):
    from pipelines.config import load

    assert load(str(path)).phases
