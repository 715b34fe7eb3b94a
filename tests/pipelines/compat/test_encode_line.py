"""The step that `compat` prints for the queries is the one that it has measured."""

import pytest
import yaml
from pydantic import TypeAdapter

from operators.encode.encode import Encode
from operators.model import Model
from operators.text.tokenizer import Tokenize
from pipelines.asking import Recipe
from pipelines.compat.report import encode_line, query_lines
from pipelines.config import parse


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"precision": "bf16", "pooling": "cls", "normalize": False},
        {"precision": "int8", "backend": "openvino"},
        {"strategy": {"kind": "2dmse", "layers": 3, "dims": 64}},
        {"strategy": {"kind": "token-prepending", "prompts": ['of <PST> "{text}" is:']}},
    ],
)
def test_the_line_is_read_back_as_the_step(fields) -> None:
    step = TypeAdapter(Encode).validate_python({"model": {"path": "m"}, **fields})
    [told] = yaml.safe_load(encode_line(step))
    assert told["encode"].pop("model") == "model"
    assert TypeAdapter(Encode).validate_python({"model": Model("m"), **told["encode"]}) == step


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"revision": "main", "max_length": 64, "family": "decoder", "ending": "</s>"},
        {"prompts": {"query": 'Ask "it" \\ 🜁: '}},
        {"instruction": {"task": "Find it", "examples": [{"query": "q", "passage": "p\n"}]}},
    ],
)
@pytest.mark.parametrize("length", [0, 32])
def test_the_config_is_read_back_as_the_recipe_of_the_queries(model, length) -> None:
    named = TypeAdapter(Model).validate_python({"path": "m", **model})
    asked = Recipe(Tokenize(model=named, role="query", max_length=length), Encode(model=named))
    told = [*query_lines(asked), "    write: { table: t }"]
    (phase,) = parse("\n".join(told)).phases
    assert [step.operator for step in phase.steps] == [asked.tokenize, asked.encode]
