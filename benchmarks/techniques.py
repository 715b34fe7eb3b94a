"""What techniques of encoding and of coding are worth: nDCG@10, bytes, documents a second.

`make bench-techniques`, or `python -m benchmarks.techniques --cache FOLDER`, with BEIR folders in
CORPUSMILL_DATA. What was measured is kept in FOLDER technique by technique and not measured again,
and the results keep what they have of the same recipes: collections and models may be taken one at
a time. Every encoder is a pipeline from a config to a table; every scheme codes the vectors of the
first one.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks._models import folder_of
from benchmarks._results import RESULTS, keep, table
from benchmarks._techniques import Figures, coded, encoded, prepared, recipe_of, told
from benchmarks._ways import FEW, LENGTH, SCHEMES, WAYS, Way, slug

COLLECTIONS = ("cranfield", "scifact", "vaswani")
_FIRST = ["minilm", "tokens", "splade"]
SHORT = {"vaswani"}
"""Their documents are one passage each."""
Found = dict[str, dict[str, Figures]]
"""By technique and collection."""


def main() -> None:
    """Measure what is not measured yet, and tell all there is as tables and a picture."""
    options = _options()
    whole, few = _earlier(WAYS, "techniques"), _earlier(FEW, "few")
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(options.cache or scratch).absolute()
        for name in options.collections:
            for technique, figures in _measured(cache, name, options):
                found = few if options.gemma else whole
                found.setdefault(technique, {})[name] = figures
                print(f"{name}, {technique}: {figures}", flush=True)
            _report(whole, few)


def _measured(cache: Path, name: str, options: argparse.Namespace) -> Iterator[tuple[str, Figures]]:
    data = Path(os.environ.get("CORPUSMILL_DATA", "../shared/data")).absolute()
    place = cache / "techniques" / (f"{name}-{options.gemma}" if options.gemma else name)
    place.mkdir(parents=True, exist_ok=True)
    source = prepared(data / name, place / "source", options.gemma)
    ways = FEW if options.gemma else WAYS
    wanted = {"minilm", "gemma"} if options.gemma else set(options.only)
    folders = {model: folder_of(model, cache / "models") for model in sorted(wanted)}
    for model in (model for model, folder in folders.items() if folder is None):
        print(f"left out: {model}, whose package is missing (tests/models.txt)", flush=True)
    for technique, way in ways.items():
        model = folders.get(way.model)
        if model is None or (way.long and name in SHORT):
            continue
        figures = encoded(place / slug(technique), source, model, way, timed=not options.untimed)
        yield technique, figures
    if "minilm" in wanted and not options.gemma:
        yield from coded(place / slug("MiniLM, mean"), source, timed=not options.untimed).items()


def _earlier(ways: Mapping[str, Way], kept: str) -> Found:
    """What the results have of the same recipes, in the order of the techniques."""
    file = RESULTS / "techniques.json"
    known = json.loads(file.read_text(encoding="utf-8")).get(kept, {}) if file.is_file() else {}
    recipes = {name: way.recipe for name, way in ways.items()}
    if kept == "techniques":
        recipes |= {f"MiniLM, {name}": recipe_of(name) for name in SCHEMES}
    return {
        name: {
            collection: told(figures)
            for collection, figures in known.get(name, {}).items()
            if figures.get("recipe") == recipe
        }
        for name, recipe in recipes.items()
    }


def _report(whole: Found, few: Found) -> None:
    lines = [
        f"nDCG@10 of the judged test queries, bf16, {LENGTH} tokens; bytes of a document in its",
        "Parquet file; documents a second from the config to the committed table, loading of the",
        "model included; schemes: of the coding alone. What a scheme learns lies beside the table,",
        "once; it was learned from one half of the documents and codes the other.",
        "",
        *_table(whole),
    ]
    if any(few.values()):
        lines += ["", *_told_of_few(few), "", *_table(few)]
    facts = {
        kept: {name: _facts(each) for name, each in found.items() if each}
        for kept, found in (("techniques", whole), ("few", few))
    }
    command = "python -m benchmarks.techniques --cache FOLDER"
    keep("techniques", command, lines, facts)
    _draw(whole)


def _facts(each: Mapping[str, Figures]) -> dict[str, object]:
    return {name: asdict(figures) for name, figures in each.items()}


def _told_of_few(few: Found) -> list[str]:
    of = {name: figures for each in few.values() for name, figures in each.items()}
    sizes = (
        f"{name} {of[name].documents} with {of[name].queries} queries"
        for name in COLLECTIONS
        if name in of
    )
    return [
        "Gemma 3 270M, on few documents, judged ones and a draw of the others, so these figures",
        f"compare with each other alone ({', '.join(sizes)}):",
    ]


def _table(found: Found) -> list[str]:
    names = [name for name in COLLECTIONS if any(name in each for each in found.values())]
    claims = {name: way.claim for name, way in {**FEW, **WAYS}.items()}
    claims |= {f"MiniLM, {name}": claim for name, claim in SCHEMES.items()}
    rows = []
    for technique, each in found.items():
        if each:
            scores = [f"{each[name].ndcg:.4f}" if name in each else "-" for name in names]
            sizes = f"{np.mean([one.bytes for one in each.values()]):,.0f}"
            learned = max(one.learned for one in each.values())
            rates = [_rate(each.get(name)) for name in names]
            rows.append(
                [
                    technique,
                    *scores,
                    sizes,
                    f"{learned / 1000:,.0f}" if learned else "-",
                    *rates,
                    claims[technique],
                ]
            )
    speeds = [f"{name}, docs/s" for name in names]
    head = ["technique", *names, "bytes a document", "learned, kB", *speeds, "what its paper says"]
    return table(head, rows)


def _rate(figures: Figures | None) -> str:
    rate = figures.docs_per_second if figures else None
    return f"{rate:,.0f}" if rate else "-"


def _draw(found: Found) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "techniques"
    from matplotlib import pyplot

    names = [name for name in COLLECTIONS if any(name in each for each in found.values())]
    figure, sides = pyplot.subplots(1, len(names), figsize=(8 * len(names), 7), squeeze=False)
    for name, side in zip(names, sides[0], strict=True):
        for technique, each in found.items():
            if name in each:
                at = each[name].bytes, each[name].ndcg
                side.plot(*at, marker="o" if technique in WAYS else "s", linestyle="")
                side.annotate(technique.removeprefix("MiniLM, "), at, fontsize=7)
        side.set_xscale("log")
        side.set_title(name)
        side.set_xlabel("bytes a document (circles: encoders; squares: codes of the first)")
        side.set_ylabel("nDCG@10")
    figure.tight_layout()
    figure.savefig(RESULTS / "techniques.svg", metadata={"Date": None})
    pyplot.close(figure)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", default="", help="folder that keeps tables and models")
    parser.add_argument("--collections", nargs="*", default=list(COLLECTIONS))
    parser.add_argument("--only", nargs="*", default=_FIRST, help="and mpnet")
    few = "the decoder in place of the others, on so many documents of each collection"
    parser.add_argument("--gemma", nargs="?", type=int, const=500, default=0, help=few)
    parser.add_argument("--untimed", action="store_true", help="on a busy machine: quality alone")
    return parser.parse_args()


if __name__ == "__main__":
    main()
