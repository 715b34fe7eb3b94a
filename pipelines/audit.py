"""The audit of a table of negatives: its sums, and examples as a person can read them."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from operators.beside import Beside
from operators.errors import SourceError, TableError
from operators.mine.audit import AUDIT
from operators.mine.summary import Audit, Example, summary
from operators.storage.table import Table
from operators.text.fetch import fetch
from operators.text.origin import field_of

_WIDTH = 300
"""Characters of a text that are shown."""


def audited(uri: str, version: int) -> Audit:
    """The audit of a version; TableError unless it is a table of mined negatives."""
    table = Table(uri)
    missing = set(AUDIT.names) - set(table.schema(version).names)
    if missing:
        problem = f"it is no table of negatives: it has no {', '.join(sorted(missing)[:3])}"
        raise TableError(uri, problem)
    return summary(table.read(version=version))


def told(uri: str, version: int, found: Audit, most: int) -> Iterator[str]:
    """The audit as lines: sums, then up to `most` kept and dropped examples with their texts."""
    yield from found.lines()
    for title, examples in (
        ("kept as negatives", found.kept_examples[:most]),
        ("dropped", found.dropped_examples[:most]),
    ):
        if examples:
            yield ""
            yield f"{len(examples)} {title}"
            try:
                texts = [*_read(uri, version, examples)]
            except SourceError as error:
                yield f"no texts: {error}"
                texts = [*_named(examples)]
            yield from texts


def _read(uri: str, version: int, examples: Sequence[Example]) -> Iterator[str]:
    mined = Beside(uri, version=version)
    queries = _texts(
        mined, "queries", [(e.query_file, e.query_row, e.query_hash) for e in examples]
    )
    documents = _texts(
        mined, "documents", [(e.document_file, e.document_row, e.document_hash) for e in examples]
    )
    for example, query, document in zip(examples, queries, documents, strict=True):
        yield ""
        yield f"  {example.why}, score {example.score:.4f}"
        yield f"  query {example.query_id}: {query}"
        yield f"  document {example.document_id}: {document}"


def _named(examples: Sequence[Example]) -> Iterator[str]:
    """The examples without their texts."""
    for one in examples:
        yield f"  {one.why}, score {one.score:.4f}: {one.query_id}, {one.document_id}"


def _texts(mined: Beside, field: str, places: Sequence[tuple[str, int, str]]) -> list[str]:
    files, rows, hashes = (list(each) for each in zip(*places, strict=True))
    found: Any = fetch(
        field_of(mined, "mine", field),
        pa.array(files, pa.string()),
        pa.array(rows, pa.int64()),
        pa.array([bytes.fromhex(each) for each in hashes], pa.binary()),
    )
    return [_short(each.as_py()) for each in found]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDTH else f"{line[:_WIDTH]} …"
