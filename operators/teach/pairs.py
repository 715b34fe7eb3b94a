"""The operator that turns mined rows into the pairs that teachers have yet to score."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
from pydantic.dataclasses import dataclass

from operators import columns
from operators.base import STRICT, Resources, Transform
from operators.beside import Beside
from operators.contract import require
from operators.errors import ConfigError
from operators.teach.stored import known, pair_ids
from operators.text.source import Source

pc: Any = pyarrow.compute  # the stubs do not know every function

Places = npt.NDArray[np.int64]

_ROLES = ("positive", "negative")
_LISTS = {
    "ids": pa.list_(pa.string()),
    "hashes": pa.list_(pa.binary()),
    "files": pa.list_(pa.string()),
    "rows": pa.list_(pa.int64()),
}
_NEEDED = (
    columns.QUERY_ID,
    columns.CONTENT_HASH,
    columns.SOURCE_FILE,
    columns.SOURCE_ROW,
    *(pa.field(f"{role}_{part}", kind) for role in _ROLES for part, kind in _LISTS.items()),
)

PAIRS = pa.schema(
    [
        columns.ID,
        columns.QUERY_ID,
        columns.DOC_ID,
        columns.QUERY_HASH,
        columns.DOC_HASH,
        columns.TEACHER,
        columns.QUERY,
        columns.TEXT,
    ]
)
"""One row a pair and teacher, by teacher, then as the pairs come; id is `pair_ids` of it."""


@dataclass(frozen=True, config=STRICT)
class Pairs:
    """One row for each teacher and (query, document) text pair of the mined rows, positives too.

    Pairs of equal texts are one pair, and what `known` holds is left out; the texts are fetched
    from the sources by file and row. All fields are filled in by the plan.
    """

    name: ClassVar[str] = "pairs"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = False
    aside: ClassVar[frozenset[str]] = frozenset({"known"})

    queries: Source | None = None
    documents: Source | None = None
    teachers: tuple[str, ...] = ()
    """Fingerprints of the steps that score the pairs."""
    known: Beside = Beside()
    """Scores that are there already."""

    def bind(self, schema: pa.Schema) -> pa.Schema:
        require(self.name, schema, *_NEEDED)
        return PAIRS

    @contextmanager
    def open(self, on: Resources = Resources()) -> Iterator[Transform]:  # noqa: B008 - frozen
        if self.queries is None or self.documents is None:
            problem = (
                "pairs: neither queries nor documents can be fetched before the plan names them"
            )
            raise ConfigError((problem,))
        yield self._pairs

    def _pairs(self, table: pa.Table) -> pa.Table: ...
