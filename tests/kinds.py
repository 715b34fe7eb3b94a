"""A small table of each kind of vectors, all of the same documents."""

from pathlib import Path
from typing import Any

import yaml

from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from pipelines.config import parse
from tests.pipeline_builders import lines, write_files
from tests.tiny_heads import build_colbert, build_confident
from tests.tiny_models import build_bert

WORDS = ("amber", "basalt", "cobalt", "delta", "ember", "fjord", "granite")
DOCUMENTS = [
    {
        "id": f"d{n:02d}",
        "lang": "en",
        "title": f"{WORDS[n % 7]} {WORDS[n // 9]}",
        "text": f"{WORDS[n % 7]} {WORDS[n // 9]} is number {n}. " + "And so it went on. " * (n % 3),
    }
    for n in range(60)
]
BUILDERS = {"bert": build_bert, "masked": build_confident, "colbert": build_colbert}
PASSAGES = {"late-passages": {"model": "bert", "tokens": 16, "overlap": 0}}
TABLES: dict[str, tuple[str, dict[str, Any], list[dict[str, Any]]]] = {
    "dense": ("bert", {}, []),
    "late": ("bert", {"strategy": {"kind": "late-chunking"}}, []),
    "first": ("masked", {"pooling": "cls"}, []),
    "splade": ("masked", {"strategy": {"kind": "splade", "top_k": 40}}, []),
    "dupmae": ("masked", {"pooling": "cls", "strategy": {"kind": "dupmae", "top_k": 40}}, []),
    "tokens": ("colbert", {"strategy": {"kind": "colbert-xm", "language": "en_XX"}}, []),
    "coded": (
        "colbert",
        {"strategy": {"kind": "colbert-xm", "language": "en_XX"}},
        [{"quantize-tokens": {"nbits": 4}}],
    ),
}
"""The model of each, what `encode` is told, and the steps behind it."""


def phase(root: Path, kind: str, **changes: Any) -> dict[str, Any]:
    """A phase that makes the table of a kind; `encode`, `read` and `write` change its fields."""
    model, encode, more = TABLES[kind]
    first = PASSAGES if kind == "late" else {"tokenize": {"model": model}}
    told = {"model": model, **encode, **changes.get("encode", {})}
    return {
        "read": {"uri": f"{root}/docs.jsonl", "unit_bytes": 1500, **changes.get("read", {})},
        "steps": [first, {"encode": told}, *more],
        "write": {"table": f"{root}/{kind}", **changes.get("write", {})},
    }


def run(root: Path, **phases: dict[str, Any]) -> None:
    models = {name: {"path": str(root / "models" / name)} for name in BUILDERS}
    text = yaml.safe_dump({"models": models, "phases": phases}, sort_keys=False)
    run_pipeline(parse(text), LocalRunner(), Progress(quiet=True))


def prepared(root: Path) -> Path:
    """The folder with the documents and the models."""
    write_files(str(root), {"docs.jsonl": lines(DOCUMENTS)})
    for name, build in BUILDERS.items():
        build(root / "models" / name)
    return root
