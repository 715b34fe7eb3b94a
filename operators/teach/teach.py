"""The operator that scores pairs with a model that reads both texts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, ClassVar, Literal

import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass

from operators import columns
from operators.base import STRICT, Resources, Transform
from operators.contract import extend, require, without
from operators.model import Model


@dataclass(frozen=True, config=STRICT)
class Teach:
    """Add `logit`, what the teacher's model says of each pair whose `teacher` it is."""

    name: ClassVar[str] = "teach"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = True
    aside: ClassVar[frozenset[str]] = frozenset({"fingerprint", "more"})

    model: Model
    teacher: Literal["cross-encoder", "bi-encoder", "query-likelihood", "yes-no"] = "cross-encoder"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    max_length: Annotated[int, Field(ge=0)] = 0
    """Tokens a pair may have (a text, for a bi-encoder); 0 is what the model says."""
    template: str | None = None
    """What a decoder reads, with `{text}` and `{query}`; None is the teacher's own."""
    answers: tuple[str, str] | None = None
    """The words a yes-no teacher weighs, the agreeing one first; None is Yes and No."""
    fingerprint: str = ""
    """What the column `teacher` holds for its rows; set by the plan."""
    more: bool = False
    """Another teacher follows, so the texts stay; set by the plan."""

    def bind(self, schema: pa.Schema) -> pa.Schema:
        require(self.name, schema, columns.QUERY, columns.TEXT, columns.TEACHER)
        bound = extend(schema, columns.LOGIT)
        return bound if self.more else without(bound, "query", "text")

    @contextmanager
    def open(self, on: Resources = Resources()) -> Iterator[Transform]:  # noqa: B008 - frozen
        raise NotImplementedError
        yield
