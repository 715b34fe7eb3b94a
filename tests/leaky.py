"""A step whose errors quote secrets, as those of a careless library do."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic.dataclasses import dataclass

from operators import columns
from operators.base import STRICT, Resources, Transform
from operators.contract import require
from operators.errors import SourceError

ON = Resources()
NAME = "AWS_SECRET_ACCESS_KEY"


@dataclass(frozen=True, config=STRICT)
class Leaky:
    """Fail on a text with `row` for that row, and on one with `unit` for its whole unit."""

    row: str
    unit: str
    name: ClassVar[str] = "leaky"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = True

    def bind(self, schema: pa.Schema) -> pa.Schema:
        require(self.name, schema, columns.TEXT)
        return schema

    @contextmanager
    def open(self, on: Resources = ON) -> Iterator[Transform]:
        yield partial(_leak, self)


def _leak(step: Leaky, table: pa.Table) -> pa.Table:
    quoted = f"signed with {os.environ[NAME]} for s3://key:{os.environ[NAME]}@lake/docs"
    if pc.any(pc.match_substring(table["text"], step.unit)).as_py():
        raise SourceError("s3://lake/docs", quoted)
    if pc.any(pc.match_substring(table["text"], step.row)).as_py():
        raise ValueError(quoted)
    return table
