"""Small tables as `mine` and `teach` commit them."""

import hashlib
from collections.abc import Mapping, Sequence

import pyarrow as pa

from operators import columns
from operators.distil.triples import MINED

SCHEMA = pa.schema([columns.ID, *MINED])


def digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def documents(role: str, names: Sequence[str], scores: Sequence[float]) -> dict[str, object]:
    return {
        f"{role}_ids": list(names),
        f"{role}_scores": list(scores),
        f"{role}_hashes": [digest(name) for name in names],
        f"{role}_files": ["docs.jsonl"] * len(names),
        f"{role}_rows": [int(name[1:]) for name in names],
    }


def row(
    query: str, positives: Mapping[str, float], negatives: Mapping[str, float]
) -> dict[str, object]:
    """A query `q0` with documents `d7` by name and similarity."""
    return {
        "id": query,
        "query_id": query,
        "content_hash": digest(query),
        "source_file": "queries.jsonl",
        "source_row": int(query[1:]),
        **documents("positive", [*positives], [*positives.values()]),
        **documents("negative", [*negatives], [*negatives.values()]),
    }


def table(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)
