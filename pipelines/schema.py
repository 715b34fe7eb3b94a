"""The JSON Schema of a config, put together from the constructors themselves."""

from typing import Any

from pydantic import TypeAdapter

from operators.base import Resources
from operators.model import Model
from operators.registry import OPERATORS
from operators.text.source import Source
from pipelines.spec import Budget, Write


def config_schema() -> dict[str, Any]:
    """The schema an editor checks a config against."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "corpusmill config",
        "type": "object",
        "additionalProperties": False,
        "required": ["phases"],
        "properties": {
            "models": {"type": "object", "additionalProperties": _of(Model)},
            "phases": {"type": "object", "additionalProperties": _phase(), "minProperties": 1},
            "budget": _of(Budget),
        },
    }


def operator_schema(name: str) -> dict[str, Any]:
    """The schema of one operator's fields; a model is named, as declared under `models`."""
    schema = _of(OPERATORS[name])
    if "model" in schema.get("properties", {}):
        schema["properties"]["model"] = {"type": "string"}
    return schema


def _phase() -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["read", "write"],
        "properties": {
            "read": _of(Source),
            "steps": {"type": "array", "items": {"oneOf": [_step(name) for name in OPERATORS]}},
            "write": _of(Write),
        },
    }


def _step(name: str) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [name],
        "properties": {name: operator_schema(name), "resources": _of(Resources)},
    }


def _of(kind: Any) -> dict[str, Any]:
    """A dataclass's schema with its definitions put in place."""
    schema = TypeAdapter(kind).json_schema()
    whole: dict[str, Any] = _inlined(schema, schema.pop("$defs", {}))
    return whole


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        return _inlined({**target, **{k: v for k, v in node.items() if k != "$ref"}}, definitions)
    kept = {key: value for key, value in node.items() if not _points(key, value)}
    return {key: _inlined(value, definitions) for key, value in kept.items()}


def _points(key: str, value: Any) -> bool:
    """A table of definitions, which are all put in place; `kind` is told apart by its constants."""
    return key == "discriminator" and isinstance(value, dict)
