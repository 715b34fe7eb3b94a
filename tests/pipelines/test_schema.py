"""The JSON Schema that editors check configs against says what the constructors say."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from operators.registry import OPERATORS
from pipelines.config import load
from pipelines.schema import config_schema, operator_schema

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
SCHEMA = config_schema()
VALID = Draft202012Validator(SCHEMA)


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_config_is_valid_to_the_schema_and_to_the_loader(path):
    assert list(VALID.iter_errors(yaml.safe_load(path.read_text()))) == []
    assert load(str(path)).phases


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_any_misspelt_key_of_a_shipped_config_is_refused(path):
    raw = yaml.safe_load(path.read_text())
    misspelt = list(with_one_key_misspelt(raw))
    assert len(misspelt) > 8
    for wrong in misspelt:
        assert not VALID.is_valid(wrong), wrong


@pytest.mark.parametrize(
    ("field", "value"), [("text", "title"), ("text", ["title", "text"]), ("keep", "lang")]
)
def test_a_column_may_be_one_name_or_a_list(field, value):
    read = SCHEMA["properties"]["phases"]["additionalProperties"]["properties"]["read"]
    assert Draft202012Validator(read).is_valid({"uri": "x", field: value})


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_an_operator_lists_its_fields_and_names_its_model(name):
    schema = operator_schema(name)
    fields = set(schema["properties"])
    assert not fields & {"name", "version", "loads_model"}
    if "model" in fields:
        assert schema["properties"]["model"] == {"type": "string"}


def test_fields_carry_what_they_mean():
    fields = operator_schema("tokenize")["properties"]
    assert fields["max_length"]["description"].startswith("Tokens a row may have")


def with_one_key_misspelt(node: Any, depth: int = 0) -> Iterator[Any]:
    """The config once for every key, that key misspelt; names the user chose are left out."""
    if isinstance(node, list):
        for place, item in enumerate(node):
            for wrong in with_one_key_misspelt(item, depth + 1):
                yield [*node[:place], wrong, *node[place + 1 :]]
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        rest = {name: other for name, other in node.items() if name != key}
        if depth != 1 and key not in {"query", "passage"}:
            yield {**rest, f"{key}z": value}
        for wrong in with_one_key_misspelt(value, depth + 1):
            yield {**rest, key: wrong}
