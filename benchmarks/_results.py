"""Where benchmarks keep what they measured, and what is told of the machine."""

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from cluster.settings import cores

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("torch", "transformers", "sentence-transformers", "faiss-cpu", "pyarrow", "deltalake")

Cell = str | int | float


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> list[str]:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(map(str, cells)) + " |" for cells in lines]


def keep(name: str, command: str, lines: Sequence[str], facts: Mapping[str, object]) -> None:
    """Write `results/NAME.md` and `results/NAME.json`, and print the former."""
    RESULTS.mkdir(exist_ok=True)
    told = {
        "command": command,
        "cores": cores(),
        "machine": platform.machine(),
        "versions": {package: metadata.version(package) for package in _PACKAGES},
        **facts,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    text = "\n".join(lines) + "\n"
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    print("\n" + text)
