"""Debian packages as queries and documents, and their vectors tables, made once in a folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import yaml

from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from operators.arrays import to_column, to_matrix
from operators.storage.parquet import write_shard
from operators.storage.table import Table
from operators.text.hashes import content_hashes
from pipelines.config import parse

pc: Any = pyarrow.compute  # the stubs know no plain values as operands

SEED = 7
NOISE = 0.02
"""Standard deviation of what is added to each number of a repeated vector."""


@dataclass(frozen=True)
class Lake:
    """A folder with texts, judgments and vectors."""

    root: Path

    def at(self, name: str) -> str:
        return str(self.root / name)

    @property
    def grown(self) -> Path:
        return self.root / "grown"


def write_texts(lake: Lake, corpus: Path, docs: int, queries: int) -> None:
    """Packages in a seeded order, and titles of the first quarter of them as queries.

    So the collections of every size hold what the queries look for.
    """
    packages = pq.read_table(corpus, columns=["id", "title", "text"])
    packages = packages.filter(pc.not_equal(pc.utf8_trim_whitespace(packages["text"]), ""))
    rng = np.random.default_rng(SEED)
    order: Any = pa.array(rng.permutation(len(packages))[: docs or None])
    packages = packages.take(order)
    lake.root.mkdir(parents=True, exist_ok=True)
    pq.write_table(packages.select(["id", "text"]), lake.at("documents.parquet"))
    quarter = max(queries, len(packages) // 4)
    drawn: Any = pa.array(np.sort(rng.permutation(quarter)[:queries]))
    asked = packages.take(drawn)
    told = pa.table({"id": asked["id"], "text": asked["title"]})
    pq.write_table(told, lake.at("queries.parquet"))
    lines = [f"{name}\t{name}\t1\n" for name in asked["id"]]
    qrels = "query-id\tcorpus-id\tscore\n" + "".join(lines)
    Path(lake.at("qrels.tsv")).write_text(qrels, encoding="utf-8")


def encoding(lake: Lake, model: str, tables: Path) -> dict[str, Any]:
    """The config that encodes the lake's texts to `tables`, MiniLM in bf16."""
    encode = [{"tokenize": {"model": "minilm"}}, {"encode": {"model": "minilm"}}]
    encode[1]["encode"]["precision"] = "bf16"
    phases = {
        name: {
            "read": {"uri": lake.at(f"{name}.parquet")},
            "steps": encode,
            "write": {"table": str(tables / name), "gate": {"max_bad_rows": 0.01}},
        }
        for name in ("documents", "queries")
    }
    return {"models": {"minilm": {"path": model, "max_length": 256}}, "phases": phases}


@dataclass(frozen=True)
class Settings:
    """What both sides are asked for."""

    negatives: int = 5
    relative_margin: float = 0.05


def mining(lake: Lake, documents: str, table: str, settings: Settings) -> dict[str, Any]:
    """The phase that mines for the lake's queries in the vectors table `documents`."""
    mine = {
        "qrels": {"uri": lake.at("qrels.tsv")},
        "dense": [{"vectors": {"uri": documents}}],
        "rules": [{"relative-margin": {"margin": settings.relative_margin}}],
        "selection": {"negatives": settings.negatives},
    }
    read = {"uri": lake.at("queries"), "format": "delta"}
    write = {"table": table, "gate": {"max_bad_rows": 0.01}}
    return {"read": read, "steps": [{"mine": mine}], "write": write}


def run(config: dict[str, Any], *, quiet: bool = True) -> None:
    """Run a pipeline here."""
    text = yaml.safe_dump(config, sort_keys=False)
    run_pipeline(parse(text), LocalRunner(), Progress(quiet=quiet))


def write_arrays(lake: Lake) -> None:
    """The vectors as the peer gets them: one a distinct text, in the order of the source."""
    for name in ("documents", "queries"):
        texts = pq.read_table(lake.at(f"{name}.parquet"))["text"]
        first = np.unique(np.asarray(texts.combine_chunks().dictionary_encode().indices), True)[1]
        vectors = in_order(lake.at(name))["embedding"]
        matrix = to_matrix(vectors, len(vectors[0]))
        np.save(lake.at(f"{name}.npy"), matrix[np.sort(first)])


def in_order(uri: str) -> pa.Table:
    """A table's rows in the order of its source."""
    rows = pa.concat_tables(Table(uri).read())
    order: Any = pc.sort_indices(rows["source_row"])
    return rows.take(order)


def grow(lake: Lake, rows: int) -> str:
    """A vectors table of that many rows: the first ones, then all again with noise; its URI.

    Repeated rows have ids and hashes of their own and unit length, and nothing reads their texts.
    """
    uri = str(lake.grown / str(rows))
    if Table(uri).version() >= 0:
        return uri
    source = Table(lake.at("documents"))
    lineage = source.lineage() or {}
    known = in_order(source.uri)
    shards = []
    for copy, start in enumerate(range(0, rows, len(known))):
        part = _copy(known.slice(0, min(len(known), rows - start)), copy)
        shards.append(write_shard(uri, "grown", f"u{copy:03d}", part, {}))
    Table(uri).commit(-1, source.schema(), shards, lineage, f"grown-{rows}")
    return uri


def _copy(known: pa.Table, copy: int) -> pa.Table:
    if not copy:
        return known
    matrix = to_matrix(known["embedding"], len(known["embedding"][0]))
    rng = np.random.default_rng((SEED, copy))
    matrix = matrix + rng.normal(0, NOISE, matrix.shape).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    ids = pc.binary_join_element_wise(known["id"], f"~{copy}", "")
    named: dict[str, Any] = {
        "id": ids,
        "content_hash": content_hashes(ids.combine_chunks()),
        "embedding": to_column(matrix.astype(np.float32)),
    }
    for name, values in named.items():
        place = known.column_names.index(name)
        known = known.set_column(place, known.schema.field(name), values)
    return known
