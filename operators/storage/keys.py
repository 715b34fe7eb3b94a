"""Duplicate ids over all units, by hash buckets: sidecars of keys, joined one bucket at a time."""

from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.storage.parquet import opened, write_grouped
from operators.storage.receipts import RunFolder

SCHEMA = pa.schema(
    [pa.field("high", pa.int64()), pa.field("low", pa.int64()), pa.field("row", pa.int64())]
)
_PARALLEL = 16

Keys = npt.NDArray[np.int64]


def write_keys(folder: RunFolder, unit: str, ids: Any, buckets: int) -> None:
    """Store the 128-bit hash and the row of each id (a string column), one row group a bucket.

    ValueError on a null id. The same ids give the same bytes, so a repeated attempt does no harm.
    """
    keys = _hashes(ids)
    bucket = keys[:, 0].view(np.uint64) % np.uint64(buckets)
    order = np.argsort(bucket, kind="stable")
    ends = np.cumsum(np.bincount(bucket.astype(np.int64), minlength=buckets))
    columns = [keys[order, 0], keys[order, 1], order.astype(np.int64)]
    table = pa.table([pa.array(column) for column in columns], schema=SCHEMA)
    starts = np.concatenate([[0], ends[:-1]])
    groups = [table.slice(int(a), int(b - a)) for a, b in zip(starts, ends, strict=True)]
    write_grouped(_path(folder, unit), groups, {"unit": unit, "buckets": str(buckets)})


def duplicates_in_bucket(folder: RunFolder, units_in_order: list[str], bucket: int) -> pa.Table:
    """The rows (`unit`, `row`) whose id an earlier row has, in the order of units and rows.

    Every unit needs its sidecar, an empty one too; TableError where it is missing.
    """
    with ThreadPoolExecutor(_PARALLEL) as pool:
        found = list(pool.map(lambda unit: _bucket(folder, unit, bucket), units_in_order))
    unit = np.repeat(np.arange(len(found)), [len(keys) for keys in found])
    keys = np.concatenate([*found, np.empty((0, 3), np.int64)])
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: equal keys stay in order of unit, row
    again = (keys[order[1:], :2] == keys[order[:-1], :2]).all(axis=1)
    losers = np.sort(order[1:][again])
    names = pa.array(units_in_order, pa.string())
    columns = [names.take(pa.array(unit[losers])), pa.array(keys[losers, 2])]
    return pa.table(columns, names=["unit", "row"])


def _hashes(ids: Any) -> Keys:
    """(n, 2) halves of blake2b-128 over the ids' bytes."""
    array = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    if array.null_count:
        raise ValueError("an id is null")
    if not len(array):
        return np.empty((0, 2), np.int64)
    binary = array.cast(pa.large_binary())
    _, spans, data = binary.buffers()
    offsets = np.frombuffer(memoryview(spans or b""), np.int64, len(binary) + 1, 8 * binary.offset)
    view = memoryview(data or b"")
    hashes = b"".join(
        blake2b(view[start:stop], digest_size=16).digest() for start, stop in pairwise(offsets)
    )
    return np.frombuffer(hashes, "<i8").reshape(-1, 2)


def _bucket(folder: RunFolder, unit: str, bucket: int) -> Keys:
    """(n, 3) of the keys and rows of one unit's bucket, ascending by row."""
    with opened(_path(folder, unit)) as file:
        group = file.read_row_group(bucket)
    return np.stack([column.to_numpy() for column in group.columns], axis=1)


def _path(folder: RunFolder, unit: str) -> str:
    return folder.path("keys", f"{unit}.parquet")
