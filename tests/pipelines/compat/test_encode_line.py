"""The step that `compat` prints for the queries is the one that it has measured."""

import pytest
import yaml
from pydantic import TypeAdapter

from operators.encode.encode import Encode
from operators.model import Model
from pipelines.compat.report import encode_line


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"precision": "bf16", "pooling": "cls", "normalize": False},
        {"strategy": {"kind": "2dmse", "layers": 3, "dims": 64}},
        {"strategy": {"kind": "token-prepending", "prompts": ['of <PST> "{text}" is:']}},
    ],
)
def test_the_line_is_read_back_as_the_step(fields) -> None:
    step = TypeAdapter(Encode).validate_python({"model": {"path": "m"}, **fields})
    [told] = yaml.safe_load(encode_line(step))
    assert told["encode"].pop("model") == "model"
    assert TypeAdapter(Encode).validate_python({"model": Model("m"), **told["encode"]}) == step
