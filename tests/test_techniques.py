"""docs/techniques.md claims nothing that the registries and the tests do not show."""

import ast
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import get_args

import pytest

from docs.techniques import PAGE, Inventory, Paper, Technique, page, read

ROOT = Path(__file__).parents[1]
PAPERS = 123
STATUSES = {"works", "planned"}


def _commands() -> Collection[str]:
    from cluster.cli import app

    return {str(each.callback.__name__) for each in app.registered_commands if each.callback}


def _operators() -> Collection[str]:
    from operators.registry import OPERATORS

    return OPERATORS


def _methods() -> Collection[str]:
    from operators.aggregate.registry import METHODS

    return METHODS


def _poolings() -> Collection[str]:
    from operators.encode.pooling import POOLINGS

    return POOLINGS


def _precisions() -> Collection[str]:
    from operators.encode.strategy import Precision

    return get_args(Precision)


def _presets() -> Collection[str]:
    from operators.presets import PRESETS

    return PRESETS


def _configs() -> Collection[str]:
    return {path.stem for path in (ROOT / "configs").glob("*.yaml")}


def _schemes() -> Collection[str]:
    from operators.quantize.registry import SCHEMES

    return SCHEMES


def _maps() -> Collection[str]:
    from operators.adapt.registry import MAPS

    return MAPS


def _teachers() -> Collection[str]:
    from operators.teach.registry import TEACHERS

    return TEACHERS


def _targets() -> Collection[str]:
    from operators.distil.targets import TARGETS

    return TARGETS


def _fusions() -> Collection[str]:
    from operators.distil.fuse import FUSIONS

    return FUSIONS


def _rules() -> Collection[str]:
    from operators.mine.rules import RULES

    return RULES


def _strategies() -> Collection[str]:

    from operators.encode.strategies import AnyStrategy

    kinds = get_args(get_args(AnyStrategy)[0])
    return {kind.__dataclass_fields__["kind"].default for kind in kinds}


REGISTRIES: dict[str, Callable[[], Collection[str]]] = {
    "commands": _commands,
    "configs": _configs,
    "fusions": _fusions,
    "maps": _maps,
    "methods": _methods,
    "operators": _operators,
    "poolings": _poolings,
    "precisions": _precisions,
    "presets": _presets,
    "rules": _rules,
    "schemes": _schemes,
    "strategies": _strategies,
    "targets": _targets,
    "teachers": _teachers,
}


def is_registered(name: str) -> bool:
    kind, _, key = name.partition(":")
    return kind in REGISTRIES and key in REGISTRIES[kind]()


def is_a_test(name: str) -> bool:
    """Whether the file has a test function of that name, told by its source alone."""
    path, _, test = name.partition("::")
    file = ROOT / path
    if not (path.startswith("tests/") and test.startswith("test_") and file.is_file()):
        return False
    tree = ast.parse(file.read_text())
    return any(isinstance(node, ast.FunctionDef) and node.name == test for node in tree.body)


def is_named(name: str, test: str) -> bool:
    """Whether the file of a proof names the class that a registry has; true of what is no class."""
    kind, _, key = name.partition(":")
    registry = REGISTRIES[kind]()
    made = registry[key] if isinstance(registry, Mapping) else None
    text = (ROOT / test.partition("::")[0]).read_text()
    return not isinstance(made, type) or key in text or made.__name__ in text


def unproven(technique: Technique) -> list[str]:
    """What a technique that works still owes, and what a planned one claims too early."""
    if technique.status != "works":
        early = technique.registry or technique.test
        return [f"is planned, yet names {early}"] if early else []
    wrong = []
    if not is_registered(technique.registry):
        wrong.append(f"no registry has {technique.registry!r}")
    if not is_a_test(technique.test):
        wrong.append(f"there is no test {technique.test!r}")
    if not wrong and not is_named(technique.registry, technique.test):
        wrong.append(f"{technique.registry!r} is not in the file of {technique.test!r}")
    return wrong


def mistakes(inventory: Inventory) -> list[str]:
    """Every false or missing word of the inventory."""
    found = [
        f"{name} {problem}"
        for name, technique in inventory.techniques.items()
        for problem in unproven(technique)
    ]
    found += [
        f"{name}: status {technique.status!r}"
        for name, technique in inventory.techniques.items()
        if technique.status not in STATUSES
    ]
    named = {name for paper in inventory.papers for name in paper.techniques}
    found += [f"no technique {name}" for name in sorted(named - inventory.techniques.keys())]
    found += [f"no paper has {name}" for name in sorted(inventory.techniques.keys() - named)]
    found += [
        f"paper {paper.number} is neither out of scope nor has it a technique, or it is both"
        for paper in inventory.papers
        if bool(paper.out) == bool(paper.techniques)
    ]
    numbers = [paper.number for paper in inventory.papers]
    if numbers != list(range(1, PAPERS + 1)):
        found.append(f"the papers are not 1 to {PAPERS}, each once and in order")
    if len({paper.title for paper in inventory.papers}) < len(numbers):
        found.append("two papers have the same title")
    return found


@pytest.fixture(scope="module")
def inventory() -> Inventory:
    return read()


def test_all_papers_are_there_and_what_works_is_registered_and_tested(inventory):
    assert mistakes(inventory) == []


def test_the_page_is_what_the_generator_writes(inventory):
    assert page(inventory) == PAGE.read_text(), "run `make docs`"


def test_every_paper_has_a_row_and_every_link_leads_to_a_file(inventory):
    text = page(inventory)
    for paper in inventory.papers:
        assert f"| {paper.number} | {paper.title}" in text
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (PAGE.parent / target).is_file(), target


@pytest.mark.parametrize(
    "technique",
    [
        Technique("quantize", "works"),
        Technique("quantize", "works", "schemes:int8"),
        Technique("quantize", "works", "schemes:int9", "tests/test_techniques.py::test_false"),
        Technique("quantize", "works", "schemes:int8", "tests/nowhere.py::test_nothing"),
        Technique("quantize", "works", "wishes:int8", "tests/test_techniques.py::mistakes"),
        Technique("quantize", "planned", "schemes:int8"),
        Technique(
            "mine",
            "works",
            "rules:lg-mine",
            "tests/operators/mine/test_rules_score.py::test_caps_keep_what_lies_just_on_them",
        ),
    ],
)
def test_a_claim_without_a_registry_entry_and_a_test_is_a_mistake(technique):
    assert unproven(technique)


def test_a_claim_with_both_is_none():
    own = "tests/test_techniques.py::test_a_claim_with_both_is_none"
    assert unproven(Technique("quantize", "works", "schemes:int8", own)) == []


def test_a_paper_that_is_missing_twice_there_or_empty_is_a_mistake(inventory):
    for papers in (
        inventory.papers[1:],
        (*inventory.papers[:-1], inventory.papers[0]),
        (*inventory.papers[:-1], Paper(PAPERS, "Empty")),
    ):
        assert mistakes(Inventory(inventory.techniques, papers))
