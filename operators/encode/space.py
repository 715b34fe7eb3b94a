"""Which stored vectors may be compared: what decides the space that a table's lie in."""

from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter

from operators.beside import Beside
from operators.encode.pooled import Pooled
from operators.encode.strategies import AnyStrategy
from operators.encode.strategy import HasSides, OfDocuments, Strategy
from operators.errors import TableError
from operators.features.unified import UnifiedEmbedding
from operators.text.origin import lineage_of

_STRATEGY: TypeAdapter[Strategy] = TypeAdapter(AnyStrategy)
_KEEP_SPACE = frozenset({"quantize", "quantize-tokens", "aggregate"})
"""Steps whose vectors lie where those that they are given lie."""
_JOINS = UnifiedEmbedding.name
"""The step that may put features at the end of a vector."""


def space_of(table: Beside) -> dict[str, Any]:
    """What decides the space its vectors lie in: model, pooling, normalisation, strategy.

    Prompt, length and precision may differ between queries and passages of one space, and so may
    what a strategy calls one-sided. A table made of another's rows by steps that only code or
    join them is in that one's space; features at the end of its vectors are part of it. Empty
    where it cannot be told, as behind a map.
    """
    lineage = lineage_of(table)
    steps = lineage["readable"]["steps"]
    encode = next((step for step in steps if step["operator"] == "encode"), None)
    behind = steps if encode is None else steps[steps.index(encode) + 1 :]
    if any(step["operator"] not in {*_KEEP_SPACE, _JOINS} for step in behind):
        return {}
    space = _of_source(lineage) if encode is None else _encoded(table, encode)
    joined = [_features(step) for step in behind if step.get("into") == "embedding"]
    if space and joined:
        space["features"] = [*space.get("features", []), *joined]
    return space


def _of_source(lineage: dict[str, Any]) -> dict[str, Any]:
    """The space of the table whose rows were read; empty where they were texts."""
    source = lineage["config"]["read"]
    if source.get("format") != "delta" or source.get("text"):
        return {}
    return space_of(Beside(source["uri"], version=source["version"]))


def _features(step: dict[str, Any]) -> dict[str, Any]:
    """What decides the values that features have at the end of a vector, but for their scale."""
    named = [[each["name"] or each["column"], each["chunks"]] for each in step["features"]]
    return {"named": named, **{name: step[name] for name in ("width", "rows", "seed")}}


def _encoded(table: Beside, encode: dict[str, Any]) -> dict[str, Any]:
    """The space of a step that encodes, as the table's commit records it."""
    model = {
        name: value
        for name, value in encode["model"].items()
        if not name.startswith("prompt") and name != "max_length"
    }
    space = {"model": model, "pooling": encode["pooling"], "normalize": encode["normalize"]}
    strategy = _shared(table, encode.get("strategy"))
    return {**space, "strategy": strategy} if strategy else space


def differences(queries: dict[str, Any], documents: dict[str, Any]) -> list[str]:
    """In what two spaces differ, in words; none where one of them cannot be told."""
    if not queries or not documents:
        return []
    named = sorted(queries.keys() | documents.keys())
    differ = [name for name in named if queries.get(name) != documents.get(name)]
    sides = [space.get("strategy", {"kind": Pooled.kind}) for space in (queries, documents)]
    return [_told(*sides) if name == "strategy" else name for name in differ]


def _told(queries: dict[str, Any], documents: dict[str, Any]) -> str:
    """Two strategies, or the fields in which one and the same strategy differs."""
    if queries["kind"] != documents["kind"]:
        return f"strategy ({queries['kind']} against {documents['kind']})"
    names = [name for name in queries if queries[name] != documents[name]]
    said = (f"{name} {queries[name]} against {documents[name]}" for name in names)
    return f"strategy ({queries['kind']}: {', '.join(said)})"


def _shared(table: Beside, recorded: dict[str, Any] | None) -> dict[str, Any]:
    """What of a strategy queries and documents must share; empty for states that are pooled."""
    if recorded is None:
        return {}
    try:
        strategy = _STRATEGY.validate_python(recorded)
    except ValueError as error:
        raise TableError(table.uri, f"its commit does not say its strategy ({error})") from error
    if isinstance(strategy, Pooled | OfDocuments):  # a passage read in its document, too, is pooled
        return {}
    free = strategy.one_sided if isinstance(strategy, HasSides) else frozenset[str]()
    known: Any = strategy
    told = {each.name: getattr(strategy, each.name) for each in fields(known)}
    if told.get("artefact"):
        told["artefact"] = recorded["artefact"]  # by its name, wherever it lies
    return {name: value for name, value in told.items() if name not in free}
