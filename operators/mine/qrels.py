"""Relevance judgments: which documents are positives of a query, and which are left alone."""

import json
from hashlib import blake2b
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute
from pydantic.dataclasses import dataclass

from operators.base import STRICT
from operators.errors import ContractError, SourceError
from operators.mine.qrels_files import Format, read_file
from operators.storage import uri as store

pc: Any = pyarrow.compute  # the stubs know neither group_by's result nor strings as operands

_TYPES: dict[str, pa.DataType] = {
    "query_id": pa.string(),
    "doc_id": pa.string(),
    "relevance": pa.float32(),
}
SCHEMA = pa.schema(_TYPES)
_NAMES = {
    "query_id": ("query-id", "query_id"),
    "doc_id": ("corpus-id", "corpus_id", "doc_id", "doc-id"),
    "relevance": ("score", "relevance"),
}
_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"


@dataclass(frozen=True, config=STRICT)
class Qrels:
    """Judged (query, document) pairs of a file, folder or glob."""

    aside: ClassVar[frozenset[str]] = frozenset(
        {"uri", "format", "query_id", "doc_id", "relevance"}
    )
    """Where and how they are written; `digest` is what they say."""

    uri: str
    format: Literal["auto"] | Format = "auto"
    """`auto` goes by the name; other text is TREC's four columns, or has a header as BEIR's."""
    query_id: str = ""
    """Name of the column; `query-id` or `query_id` by default."""
    doc_id: str = ""
    """`corpus-id` or `doc_id` by default."""
    relevance: str = ""
    """`score` or `relevance` by default; where there is none, every pair has grade 1."""
    relevant: float = 1.0
    """Least grade of a positive."""
    neutral: tuple[float, ...] = ()
    """Grades of what is neither a positive nor to be a negative."""

    def read(self) -> pa.Table:
        """SCHEMA, each pair once with its highest grade, by query and document id.

        ContractError where a column lacks, SourceError for a file or row that cannot be used.
        """
        tables = [self._read(file.uri) for file in store.list_files(self.uri)]
        pairs = pa.concat_tables(tables).group_by(["query_id", "doc_id"])
        highest: pa.Table = pairs.aggregate([("relevance", "max")])
        if not len(highest):
            raise SourceError(self.uri, "there is no judgment in it")
        highest = highest.rename_columns(["query_id", "doc_id", "relevance"])
        return highest.sort_by([("query_id", "ascending"), ("doc_id", "ascending")])

    def read_as(self, planned: str) -> pa.Table:
        """What `read` gives; SourceError where its digest is not the one that was planned with."""
        table = self.read()
        if planned and self.digest(table) != planned:
            problem = "the judgments have changed since the plan was made; run again"
            raise SourceError(self.uri, problem)
        return table

    def digest(self, read: pa.Table | None = None) -> str:
        """Hex digest of what `read` gives, or gave, and of what its grades mean."""
        table = (self.read() if read is None else read).combine_chunks()
        hashed = blake2b(json.dumps([self.relevant, sorted(self.neutral)]).encode(), digest_size=16)
        for name in ("query_id", "doc_id"):
            hashed.update(pc.binary_length(table[name]).to_numpy().tobytes())
            hashed.update("".join(map(str, table[name])).encode())
        hashed.update(table["relevance"].to_numpy().tobytes())
        return hashed.hexdigest()

    def _read(self, uri: str) -> pa.Table:
        table = read_file(uri, self.format)
        columns = [self._column(table, uri, name) for name in SCHEMA.names]
        return pa.table(columns, schema=SCHEMA)

    def _column(self, table: pa.Table, uri: str, name: str) -> pa.ChunkedArray:
        named = getattr(self, name)
        names = (named,) if named else _NAMES[name]
        found = [column for column in names if column in table.column_names]
        if found:
            return _checked(table[found[0]], uri, found[0], SCHEMA.field(name).type)
        if name == "relevance" and not named:
            return pa.chunked_array([np.ones(len(table), np.float32)])
        there = f"only {', '.join(table.column_names)} in {uri}"
        raise ContractError("qrels", names[0], str(SCHEMA.field(name).type), there)


def _checked(column: pa.ChunkedArray, uri: str, name: str, wanted: pa.DataType) -> pa.ChunkedArray:
    """The column as ids or grades; SourceError that names the first row that is neither."""
    if pa.types.is_floating(column.type) and wanted == pa.string():
        raise ContractError("qrels", name, "strings or whole numbers", f"{column.type} in {uri}")
    cast = pc.cast(column, pa.string())
    bad = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(cast), ""), True)
    if wanted == pa.float32():
        bad = pc.or_(bad, pc.invert(pc.match_substring_regex(pc.fill_null(cast, ""), _NUMBER)))
    first = pc.index(bad, True).as_py()
    if first >= 0:
        what = "a number" if wanted == pa.float32() else "an id"
        value = cast[first].as_py()
        told = "null" if value is None else repr(value)
        raise SourceError(uri, f"judgment {first + 1}: {name} is {told}, not {what}")
    made: pa.ChunkedArray = pc.cast(pc.utf8_trim_whitespace(cast), wanted)
    return made
