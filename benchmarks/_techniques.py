"""One technique measured on one collection, and kept in a folder."""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
from scipy.sparse import csr_array

from benchmarks._packages import run
from benchmarks._ways import LENGTH, SCHEMES, Way, slug
from benchmarks.compat import reduced
from operators import digest
from operators.arrays import to_matrix, to_ragged, whole
from operators.mine.quality import judgments, ndcg
from operators.storage.table import Table
from pipelines.compat.questions import judged
from pipelines.compress.measure import Wish, compress
from pipelines.compress.sizes import stored_bytes

pc: Any = pyarrow.compute  # the stubs know no plain values as operands

_VECTORS = ("embedding", "lexical_ids", "lexical_weights")


@dataclass(frozen=True)
class Figures:
    """What a technique came to."""

    ndcg: float
    bytes: float
    """Of a document in the Parquet file."""
    docs_per_second: float | None
    """Of the run from the config to the table, or of the coding alone; None: not timed."""
    documents: int
    queries: int
    recipe: str


def prepared(folder: Path, out: Path, docs: int) -> Path:
    """The collection, or so many documents of it, with the judged queries alone."""
    if out.is_dir():
        return out
    begun = out.with_name(f"{out.name}-begun")
    shutil.rmtree(begun, ignore_errors=True)
    reduced(folder, begun, docs)
    lines = (begun / "qrels" / "test.tsv").read_text("utf-8").splitlines()[1:]
    asked = {line.split("\t")[0] for line in lines}
    told = (begun / "queries.jsonl").read_text("utf-8").splitlines(keepends=True)
    kept = [line for line in told if json.loads(line)["_id"] in asked]
    (begun / "queries.jsonl").write_text("".join(kept), "utf-8")
    begun.rename(out)
    return out


def encoded(place: Path, source: Path, model: Path, way: Way, *, timed: bool) -> Figures:
    """The figures of an encoder, measured unless they are there."""
    known = _known(place / "figures.json", way.recipe)
    if known and (known.docs_per_second or way.of or not timed):
        return known
    if timed:
        shutil.rmtree(place / "documents", ignore_errors=True)
    beside = place.with_name(slug(way.of)) if way.of else place
    models = {"model": {"path": str(model), "max_length": way.length}}
    phases = {
        part: way.phase(str(source), part, str(beside / part)) for part in ("documents", "queries")
    }
    if way.of:
        joined = str(place / "documents")
        phases = {"documents": way.joining(str(beside / "documents"), joined)}
    seconds = {}
    for part, phase in phases.items():
        clock = time.perf_counter()
        run({"models": models, "phases": {part: phase}})
        seconds[part] = time.perf_counter() - clock
    documents = pa.concat_tables(Table(str(place / "documents")).read())
    queries = pa.concat_tables(Table(str(beside / "queries")).read())
    vectors = documents.select([name for name in _VECTORS if name in documents.column_names])
    count = pc.count_distinct(_names(documents)).as_py()
    score, asked = _score(documents, queries, source)
    rate = count / seconds["documents"] if timed and not way.of else None
    size = stored_bytes(vectors) * len(documents) / count
    return _kept(place / "figures.json", Figures(score, size, rate, count, asked, way.recipe))


def coded(place: Path, source: Path, *, timed: bool) -> dict[str, Figures]:
    """The schemes over the first encoder's table, as `corpusmill compress` measures them."""
    found = {name: _known(_file(place, name), recipe_of(name)) for name in SCHEMES}
    missing = [
        name for name, one in found.items() if not one or (timed and not one.docs_per_second)
    ]
    if missing:
        wish = Wish(
            str(place / "documents"),
            schemes=",".join(missing),
            sample=1 << 30,
            queries=str(source / "queries.jsonl"),
            qrels=str(source / "qrels" / "test.tsv"),
        )
        measured = compress(wish, print)
        for one in measured.figures[1:]:
            rate = one.coded if timed else None
            figures = Figures(
                one.ndcg, one.bytes, rate, measured.rows, measured.asked, recipe_of(one.name)
            )
            found[one.name] = _kept(_file(place, one.name), figures)
    return {f"MiniLM, {name}": one for name, one in found.items() if one}


def recipe_of(scheme: str) -> str:
    """What names the figures of a scheme."""
    return digest.of_json([scheme, LENGTH])[:12]


def told(known: Mapping[str, Any]) -> Figures:
    """Figures as JSON has them."""
    return Figures(**known)


def _file(place: Path, scheme: str) -> Path:
    return place / f"scheme-{scheme.replace(':', '-').replace('=', '-')}.json"


def _known(file: Path, recipe: str) -> Figures | None:
    if not file.is_file():
        return None
    found = told(json.loads(file.read_text(encoding="utf-8")))
    return found if found.recipe == recipe else None


def _kept(file: Path, figures: Figures) -> Figures:
    file.write_text(json.dumps(asdict(figures)), encoding="utf-8")
    return figures


def _score(documents: pa.Table, queries: pa.Table, source: Path) -> tuple[float, int]:
    """Mean nDCG@10, a document being as near as the nearest of its rows; the queries asked."""
    questions = judged(str(source / "queries.jsonl"), str(source / "qrels" / "test.tsv"))
    queries = queries.filter(pc.is_in(queries["id"], whole(questions.texts["id"])))
    documents = documents.take(pc.sort_indices(_names(documents)))
    names = whole(_names(documents))
    first = np.flatnonzero(np.append(True, np.asarray(pc.not_equal(names[1:], names[:-1]))))
    scores = np.maximum.reduceat(_products(queries, documents), first, axis=1)
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    found = judgments(questions.qrels, whole(queries["id"]), names.take(pa.array(first)))
    return float(np.nanmean(ndcg(rows, found, 10))), len(queries)


def _names(documents: pa.Table) -> pa.ChunkedArray:
    """The document that each row is of."""
    there = "parent_id" in documents.column_names
    return documents["parent_id"] if there else documents["id"]


def _products(queries: pa.Table, documents: pa.Table) -> npt.NDArray[np.float32]:
    if "lexical_ids" not in documents.column_names:
        return _dense(queries) @ _dense(documents).T
    sparse = [_sparse(each) for each in (queries, documents)]
    words = max(each.shape[1] for each in sparse)
    for each in sparse:
        each.resize((each.shape[0], words))
    found: npt.NDArray[np.float32] = (sparse[0] @ sparse[1].T).toarray()
    return found


def _dense(rows: pa.Table) -> npt.NDArray[np.float32]:
    return to_matrix(rows["embedding"], len(rows["embedding"][0]))


def _sparse(rows: pa.Table) -> csr_array:
    ids, offsets = to_ragged(rows["lexical_ids"])
    weights = whole(rows["lexical_weights"]).flatten().to_numpy()
    return csr_array((weights, ids, offsets), shape=(len(rows), int(ids.max()) + 1))
