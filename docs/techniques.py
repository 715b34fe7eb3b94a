"""Write docs/techniques.md from docs/techniques.toml: `python -m docs.techniques`."""

import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SOURCE, PAGE = HERE / "techniques.toml", HERE / "techniques.md"

_HEAD = """\
# Techniques

The papers this project was measured against: what each gives a pipeline that makes vectors and
training data, whether that is there, and the test that would fail if it were not. Written by
`make docs` from [techniques.toml](techniques.toml): change that file, not this page. `works` is
held to by [a test](../tests/test_techniques.py), which looks the name up in the project's
registries and the proof up in the tests.
"""
_TABLE = (
    "| # | paper | technique | operator | status | proof or reason |\n|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Technique:
    """What a paper gives the pipeline; `registry` and `test` are there when it works."""

    operator: str
    status: str
    registry: str = ""
    test: str = ""
    note: str = ""


@dataclass(frozen=True)
class Paper:
    """A paper by its number in the inventory: its techniques, or why there are none."""

    number: int
    title: str
    year: int = 0
    techniques: tuple[str, ...] = ()
    out: str = ""
    note: str = ""


@dataclass(frozen=True)
class Inventory:
    """Everything techniques.toml says."""

    techniques: dict[str, Technique]
    papers: tuple[Paper, ...]


def read(path: Path = SOURCE) -> Inventory:
    """The inventory in a TOML file; TypeError for a key that means nothing."""
    found = tomllib.loads(path.read_text())
    return Inventory(
        {name: Technique(**fields) for name, fields in found["techniques"].items()},
        tuple(
            Paper(int(number), **{**fields, "techniques": tuple(fields.get("techniques", ()))})
            for number, fields in found["papers"].items()
        ),
    )


def page(inventory: Inventory) -> str:
    """The Markdown of the page."""
    rows = [row for paper in inventory.papers for row in _rows(paper, inventory.techniques)]
    return "\n".join([_HEAD, _summary(inventory), "", _TABLE, *rows, ""])


def _summary(inventory: Inventory) -> str:
    out = sum(bool(paper.out) for paper in inventory.papers)
    count = Counter(each.status for each in inventory.techniques.values())
    return (
        f"{len(inventory.papers)} papers, {out} of them out of scope; "
        f"of {count.total()} techniques {count['works']} work and {count['planned']} are planned."
    )


def _rows(paper: Paper, techniques: dict[str, Technique]) -> Iterator[str]:
    year = f" ({paper.year})" if paper.year else ""
    paper_cells = (str(paper.number), paper.title + year)
    if paper.out:
        yield _row(*paper_cells, "", "", "out of scope", paper.out)
    for place, name in enumerate(paper.techniques):
        found = techniques[name]
        said = "; ".join(part for part in (_proof(found), found.note, paper.note) if part)
        first = paper_cells if place == 0 else ("", "")
        yield _row(*first, f"`{name}`", f"`{found.operator}`", found.status, said)


def _proof(found: Technique) -> str:
    if not found.test:
        return ""
    path, _, test = found.test.partition("::")
    return f"[{test.removeprefix('test_').replace('_', ' ')}](../{path})"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(read()))
