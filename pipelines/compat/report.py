"""A comparison as lines to read, as JSON, and as the config that applies its best map."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from operators import columns
from operators.adapt.compatibility import SHARES, Quality, accuracy, compatibility
from operators.encode.encode import Encode
from operators.quantize.artefact import SUFFIX, digest_of
from operators.storage import uri as store
from pipelines.asking import Recipe
from pipelines.compat.candidates import Candidate
from pipelines.compat.compare import Comparison
from pipelines.compat.tables import Version

_NONE = "no common space"
_WIDTH = 42
_EASY = 0.95
"""nDCG@10 of both models above which the queries tell little."""


def told(found: Comparison) -> Iterator[str]:
    """Everything but the config lines."""
    task, split = found.task, found.task.split
    for name, version in (("OLD", found.old), ("NEW", found.new)):
        table = version.table
        place = f"{table.uri}, version {table.version}"
        yield f"{name}: {place}: {version.model}, {version.column.dim} dimensions"
    changed = f"; {task.documents.changed:,} of other texts left out" * bool(task.documents.changed)
    yield f"documents in both: {len(task.documents):,} of at most {found.wish.sample:,}{changed}"
    lost = f"; {found.unanswered:,} judgments left out" * bool(found.unanswered)
    yield f"queries: {found.questions}{lost}"
    pairs = len(split.pairs[0])
    yield f"maps learn from {len(split.fit_documents):,} documents and {pairs:,} answered queries"
    yield f"measured: {len(split.queries):,} other queries in {len(split.documents):,} documents"
    yield ""
    yield from _matrix(found)
    yield ""
    yield from _maps(found)
    yield ""
    yield from _backfill(found)
    yield ""
    yield found.advice.sentence
    if min(_mean(found.cells[0][0]), _mean(found.cells[1][1])) > _EASY:
        yield "Both models answer nearly all of these: ask harder ones, by --queries and --qrels."


def to_json(found: Comparison) -> dict[str, Any]:
    """Everything as plain JSON values; what cannot be measured is null."""
    split = found.task.split
    raw = _grid(found, _mean(found.cells[1][0]))
    facts = {
        "old": _version(found.old),
        "new": _version(found.new),
        "documents": len(found.task.documents),
        "changed_documents": found.task.documents.changed,
        "queries": found.questions,
        "judgments_left_out": found.unanswered,
        "fitted_documents": len(split.fit_documents),
        "fitted_pairs": len(split.pairs[0]),
        "measured_documents": len(split.documents),
        "measured_queries": len(split.queries),
        "seed": found.wish.seed,
        "matrix": [
            [None if cell is None else cell.to_json() for cell in row] for row in found.cells
        ],
        "AC": compatibility(raw),
        "AM": accuracy(raw),
        "maps": [_candidate(found, one) for one in found.candidates],
        "backfill": {
            "shares": list(SHARES),
            **{each.name: [point.to_json() for point in each.points] for each in found.curves},
        },
        "advice": {**asdict(found.advice), "sentence": found.advice.sentence},
    }
    cleaned: dict[str, Any] = _without_nan(facts)
    return cleaned


def written(found: Comparison, folder: str) -> list[str]:
    """Store the best candidate's maps in a folder, named by digest; their URIs."""
    places = []
    for each in found.best.maps:
        place = store.join(store.absolute(folder), digest_of(each.artefact) + SUFFIX)
        store.create_bytes(place, each.artefact)
        places.append(place)
    return places


def config_lines(found: Comparison, places: Sequence[str]) -> Iterator[str]:
    """The config that applies the best candidate's maps, stored at `places`."""
    best = found.best
    if best.side == "old documents":
        yield "phases:"
        yield "  mapped:"
        yield f"    read: {{ uri: {found.old.uri}, version: {found.old.table.version} }}"
        yield "    steps:"
    else:
        yield from query_lines((found.old if best.side == "old queries" else found.new).recipe)
    for each, place in zip(best.maps, places, strict=True):
        yield f"      - adapt: {{ scheme: {each.scheme}, artefact: {place} }}"
    scheme, learned = columns.decoder_of(found.old.column.field)
    if best.side == "old documents" and scheme:
        yield f"      - quantize: {{ scheme: {scheme} }}"
    if best.side == "old documents" and learned:
        yield "      # adapt cannot read OLD: its codes decode by what their codec learned"
    yield "    write: { table: your/table }"


def query_lines(asked: Recipe) -> Iterator[str]:
    """The model and the first phase, up to its first two steps, of a config that encodes so."""
    facts = {name: value for name, value in asdict(asked.encode.model).items() if value}
    length = asked.tokenize.max_length
    yield "models:"
    yield f"  model: {json.dumps(facts, ensure_ascii=False)}"
    yield "phases:"
    yield "  queries:"
    yield "    read: { uri: your/queries.jsonl }"
    yield "    steps:"
    cut = f", max_length: {length}" if length else ""
    yield f"      - tokenize: {{ model: model, role: query{cut} }}"
    yield f"      {encode_line(asked.encode)}"


def encode_line(encode: Encode) -> str:
    """The step that encodes as another one does, its model called `model`, as a line of YAML."""
    said = [f"model: model, precision: {encode.precision}"]
    said += [f"backend: {encode.backend}"] if encode.backend != "torch" else []
    said += [f"pooling: {encode.pooling}"] if encode.pooling != "auto" else []
    said += [f"normalize: {json.dumps(encode.normalize)}"] if encode.normalize is not None else []
    said += [f"strategy: {json.dumps(asdict(encode.strategy))}"] if encode.strategy else []
    return f"- encode: {{ {', '.join(said)} }}"


def _matrix(found: Comparison) -> Iterator[str]:
    yield f"{'nDCG@10, recall@10, recall@100':<{_WIDTH}}  {'gallery OLD':<22}  gallery NEW"
    for name, row in zip(("queries by OLD", "queries by NEW"), found.cells, strict=True):
        cells = [_NONE if cell is None else _three(cell) for cell in row]
        yield f"  {name:<{_WIDTH - 2}}  {cells[0]:<22}  {cells[1]}"
    grid = _grid(found, _mean(found.cells[1][0]))
    yield f"  AC {compatibility(grid):.0f}, AM {_number(accuracy(grid))}"


def _maps(found: Comparison) -> Iterator[str]:
    head = f"{'without embedding again':<{_WIDTH}}  {'nDCG@10, recalls':<22}"
    yield f"{head}  {'over OLD':>8}  {'AM':>6}  broken: same, different"
    base = _mean(found.cells[0][0])
    for one in found.candidates:
        over = f"{one.quality.mean - base:+.4f}"
        broken = f"{one.violated.same:.1%}, {one.violated.different:.1%}"
        mean = _number(_accuracy(found, one))
        cells = f"{_three(one.quality):<22}  {over:>8}  {mean:>6}"
        yield f"  {one.name:<{_WIDTH - 2}}  {cells}  {broken}"


def _backfill(found: Comparison) -> Iterator[str]:
    shares = "  ".join(f"{share:>6.0%}" for share in SHARES)
    yield f"{'nDCG@10 by share embedded again':<{_WIDTH}}  {shares}"
    for each in found.curves:
        points = "  ".join(f"{point.mean:.4f}" for point in each.points)
        yield f"  {each.name:<{_WIDTH - 2}}  {points}"


def _grid(found: Comparison, crossed: float) -> list[list[float]]:
    """C with `crossed` as the quality of new queries in the old gallery."""
    (old, back), (_, new) = found.cells
    return [[_mean(old), _mean(back)], [crossed, _mean(new)]]


def _accuracy(found: Comparison, one: Candidate) -> float:
    """AM with the candidate's cell; of old queries there is none."""
    own = one.side == "old queries"
    return math.nan if own else accuracy(_grid(found, one.quality.mean))


def _candidate(found: Comparison, one: Candidate) -> dict[str, Any]:
    own = one.side == "old queries"
    return {
        "name": one.name,
        "mapped": one.side,
        "schemes": [each.scheme for each in one.maps],
        "artefacts": [digest_of(each.artefact) for each in one.maps],
        **one.quality.to_json(),
        "AC": None if own else compatibility(_grid(found, one.quality.mean)),
        "AM": _accuracy(found, one),
        "violated": asdict(one.violated),
    }


def _version(version: Version) -> dict[str, Any]:
    return {
        "uri": version.uri,
        "version": version.table.version,
        "model": version.model,
        "dim": version.column.dim,
        "column": version.column.field.name,
    }


def _mean(cell: Quality | None) -> float:
    return math.nan if cell is None else cell.mean


def _three(cell: Quality) -> str:
    return "  ".join(f"{value:.4f}" for value in cell.to_json().values())


def _number(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.4f}"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
