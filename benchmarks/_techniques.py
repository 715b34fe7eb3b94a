"""One technique measured on one collection, and kept in a folder."""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks._asked import scored
from benchmarks._packages import run
from benchmarks._ways import LENGTH, SCHEMES, Way, slug
from benchmarks.compat import reduced
from operators import digest
from operators.storage.table import Table
from pipelines.compress.measure import Wish, compress
from pipelines.compress.sizes import stored_bytes

_VECTORS = ("embedding", "lexical_ids", "lexical_weights", "token_vectors", "token_codes")


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
    learned: int = 0
    """Bytes of what a scheme learned, once for the table."""


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
    table = place / "documents"
    if timed:
        shutil.rmtree(table, ignore_errors=True)
    phase = way.phase(str(source), str(table))
    if way.of:
        phase = way.joining(str(place.with_name(slug(way.of)) / "documents"), str(table))
    clock = time.perf_counter()
    run({"models": way.models(str(model)), "phases": {"documents": phase}})
    seconds = time.perf_counter() - clock
    score, asked, count = scored(str(table), source)
    rate = count / seconds if timed and not way.of else None
    size = _bytes(table) / count
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
                one.ndcg,
                one.bytes,
                rate,
                measured.rows,
                measured.asked,
                recipe_of(one.name),
                one.artefact,
            )
            found[one.name] = _kept(_file(place, one.name), figures)
    return {f"MiniLM, {name}": one for name, one in found.items() if one}


def recipe_of(scheme: str) -> str:
    """What names the figures of a scheme."""
    return digest.of_json([scheme, LENGTH, "learned from the other half"])[:12]


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


def _bytes(table: Path) -> float:
    """Of all vectors, or their codes, in the Parquet file."""
    rows = pa.concat_tables(Table(str(table)).read())
    vectors = rows.select([name for name in _VECTORS if name in rows.column_names])
    return stored_bytes(vectors) * len(rows)
