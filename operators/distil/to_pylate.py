"""The knowledge distillation files of PyLate: ids and scores, and texts by id beside them."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from operators.distil.examples import Examples

_TRAIN = pa.schema(
    {
        "query_id": pa.string(),
        "document_ids": pa.list_(pa.string()),
        "scores": pa.list_(pa.float32()),
    }
)


@contextmanager
def pylate(folder: Path) -> Iterator[Callable[[Examples], int]]:
    """Write train, queries and documents .parquet; each id once, so its digest stays in memory."""
    with ExitStack() as stack:
        train = stack.enter_context(pq.ParquetWriter(str(folder / "train.parquet"), _TRAIN))
        queries = stack.enter_context(_texts(folder / "queries.parquet", "query_id"))
        documents = stack.enter_context(_texts(folder / "documents.parquet", "document_id"))

        def write(examples: Examples) -> int:
            offsets: Any = pa.array(examples.lists.offsets.astype(np.int32))
            ids = pa.ListArray.from_arrays(offsets, examples.ids)
            scores = pa.ListArray.from_arrays(offsets, pa.array(examples.labels.astype(np.float32)))
            made: list[pa.Array] = [examples.query_ids, ids, scores]
            train.write_table(pa.table(made, schema=_TRAIN))
            queries(examples.query_ids, examples.queries)
            documents(examples.ids, examples.documents)
            return len(examples)

        yield write


@contextmanager
def _texts(path: Path, name: str) -> Iterator[Callable[[pa.Array, pa.Array], None]]:
    """A file of ids and texts that takes each id once."""
    seen: set[bytes] = set()
    schema = pa.schema({name: pa.string(), "text": pa.string()})
    with pq.ParquetWriter(str(path), schema) as writer:

        def write(ids: pa.Array, texts: pa.Array) -> None:
            digests = [hashlib.blake2b(str(each).encode(), digest_size=16).digest() for each in ids]
            fresh = {digest: row for row, digest in enumerate(digests) if digest not in seen}
            seen.update(fresh)
            places: Any = pa.array(sorted(fresh.values()), pa.int64())
            columns: list[pa.Array] = [ids.take(places), texts.take(places)]
            writer.write_table(pa.table(columns, schema=schema))

        yield write
