"""Queries of a table: encoded as its rows were, in the role of queries."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from operators import columns
from operators import model as models
from operators.adapt.adapt import Adapt
from operators.base import Operator, Resources
from operators.beside import Beside
from operators.encode.encode import Encode
from operators.encode.strategy import HasSides
from operators.errors import ConfigError, TableError
from operators.text.late_passages import LatePassages
from operators.text.late_tree import LateTree
from operators.text.origin import lineage_of
from operators.text.tokenizer import Tokenize
from pipelines.recorded import recalled
from pipelines.rows import accepted, through

_TEXTS = (columns.ID, columns.TEXT)


@dataclass(frozen=True)
class Recipe:
    """The two steps by which texts become what a table's rows are compared with."""

    tokenize: Tokenize
    encode: Encode

    @property
    def by_language(self) -> bool:
        """Whether a query must say its language in a column `lang`."""
        strategy = self.encode.strategy
        return strategy is not None and columns.LANG in strategy.needs

    def bound(self) -> pa.Schema:
        """The columns of encoded queries; ModelError where the model cannot encode any."""
        told = (*_TEXTS, columns.LANG) if self.by_language else _TEXTS
        return self.encode.bind(self.tokenize.bind(pa.schema(told)))

    def encoded(self, texts: pa.Table, on: Resources | None = None) -> pa.Table:
        """The rows that can be encoded, of `id` and `text`, and `lang` where it is needed."""
        table = texts
        with ExitStack() as stack:
            for operator in (self.tokenize, self.encode):
                schema = operator.bind(_good(table))
                transform = stack.enter_context(operator.open(on or Resources()))
                table = through(transform, table, schema)
        return accepted(table, _good(table))


def recipe(operators: Iterable[Operator]) -> Recipe | None:
    """How queries are encoded for what the steps of a phase store; None if they encode no texts.

    ConfigError where they do not say it.
    """
    steps = list(operators)
    encode = next((step for step in steps if isinstance(step, Encode)), None)
    tokenize = next((step for step in steps if isinstance(step, Tokenize)), None)
    late = next((step for step in steps if isinstance(step, LatePassages | LateTree)), None)
    if late is not None:
        tokenize = Tokenize(model=late.model)
    if encode is None or tokenize is None:
        return None
    if isinstance(encode.strategy, HasSides):
        strategy: Any = encode.strategy.of_queries()
        encode = replace(encode, strategy=strategy)
    return Recipe(replace(tokenize, role="query", prompt=None), encode)


def mapped(operators: Iterable[Operator]) -> bool:
    """Whether the steps take vectors to a space in which they do not encode queries."""
    return any(isinstance(each, Adapt) for each in operators)


def recipe_of(table: Beside) -> Recipe:
    """How queries are encoded for a pinned table, as its commit says, or that of its source.

    TableError where neither does, or where the model is another by now.
    """
    lineage = lineage_of(table)
    phase = recalled(table.uri, lineage)
    operators = [step.operator for step in phase.steps]
    if mapped(operators):
        problem = "its vectors were mapped into another model's space; its commit does not say how"
        raise TableError(table.uri, f"{problem} queries are encoded there")
    try:
        found = recipe(operators)
    except ConfigError as error:
        raise TableError(table.uri, f"{error}; its next version records it") from error
    if found is None and phase.read.format == "delta" and not phase.read.text:
        return recipe_of(Beside(phase.read.uri, version=phase.read.version))
    if found is None:
        raise TableError(table.uri, _unasked(operators))
    _check_model(table.uri, found.encode, lineage)
    return found


def _unasked(operators: Iterable[Operator]) -> str:
    """Why queries cannot be encoded for what such steps store."""
    steps = ", ".join(each.name for each in operators) or "none"
    problem = f"its commit records no tokenize and encode, only the steps {steps}"
    return f"{problem}, so queries cannot be encoded as its rows were"


def _check_model(uri: str, encode: Encode, lineage: dict[str, Any]) -> None:
    """TableError where the model's folder holds another model than the one that was recorded."""
    now = models.identity(encode.model)
    steps = lineage["readable"]["steps"]
    then = next(step["model"] for step in steps if step["operator"] == encode.name)
    differ = [
        name
        for name in sorted(now.keys() | then.keys())
        if not name.startswith("prompt") and now.get(name) != then.get(name)
    ]
    if differ:
        problem = f"model {encode.model.path} has changed since ({', '.join(differ)})"
        raise TableError(uri, f"{problem}, so queries cannot be encoded as its rows were")


def _good(table: pa.Table) -> pa.Schema:
    """The schema of a table's good rows."""
    return pa.schema([field for field in table.schema if field.name != columns.ERROR.name])
