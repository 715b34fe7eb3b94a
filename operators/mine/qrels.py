"""Relevance judgments: which documents are positives of a query, and which are left alone."""

from typing import Literal

import pyarrow as pa
from pydantic.dataclasses import dataclass

from operators.base import STRICT

SCHEMA = pa.schema(
    [
        ("query_id", pa.string()),
        ("doc_id", pa.string()),
        ("relevance", pa.float32()),
    ]
)


@dataclass(frozen=True, config=STRICT)
class Qrels:
    """Judged (query, document) pairs of a file, folder or glob."""

    uri: str
    format: Literal["auto", "beir", "trec", "csv", "jsonl", "parquet"] = "auto"
    """`auto` goes by the name; a TSV with a BEIR header, or four columns without one, is known."""
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
        """SCHEMA, each pair once with its highest grade, by query and document id."""
        raise NotImplementedError

    def digest(self) -> str:
        """Hex digest of what `read` gives and of what the grades mean: its identity."""
        raise NotImplementedError
