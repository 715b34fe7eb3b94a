"""Sidecars of keys, split by hash buckets: what joins units and files without a set of all ids."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.storage.parquet import picked, write_grouped
from operators.storage.receipts import RunFolder

_PARALLEL = 16

Keys = npt.NDArray[np.int64]
"""(n, 2) halves of 128-bit keys."""


def write_keys(folder: RunFolder, unit: str, table: pa.Table, buckets: int) -> None:
    """Store the 128-bit hash and the row of each `id`, one row group a bucket.

    What the table has of content_hash, source_file and source_row goes with it. ValueError on a
    null id. The same rows give the same bytes, so a repeated attempt does no harm.
    """
    beside = {"row": pa.array(np.arange(len(table)))} | content_and_place(table)
    write_bucketed(keys_uri(folder, unit), hashed(table["id"]), beside, buckets)


def content_and_place(table: pa.Table) -> dict[str, pa.Array]:
    """The content hash of each row in halves, and where it came from; of what the table has."""
    found: dict[str, pa.Array] = {}
    names = table.column_names
    if "content_hash" in names:
        halved = halves(table["content_hash"])
        found |= {"content_high": pa.array(halved[:, 0]), "content_low": pa.array(halved[:, 1])}
    if {"source_file", "source_row"} <= set(names):
        found |= {"file": _one(table["source_file"]), "place": _one(table["source_row"])}
    return found


def duplicates_in_bucket(folder: RunFolder, units_in_order: list[str], bucket: int) -> pa.Table:
    """The rows (`unit`, `row`) whose id an earlier row has, in the order of units and rows.

    `to_unit` and `to_row` are the first row of that id. Every unit needs its sidecar, an empty one
    too; TableError where it is missing.
    """
    uris = [keys_uri(folder, unit) for unit in units_in_order]
    found = read_bucket(uris, bucket, ["high", "low", "row"])
    keys = key_halves(found)
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: equal keys stay in order of unit, row
    again = same_as_before(keys[order])
    losers = np.sort(order[again])
    winners = first_of_each(order, again)[losers]
    names = pa.array(units_in_order, pa.string())
    units = names.take(found["origin"])
    return pa.table(
        {
            "unit": units.take(losers),
            "row": found["row"].take(losers),
            "to_unit": units.take(winners),
            "to_row": found["row"].take(winners),
        }
    )


def keys_uri(folder: RunFolder, unit: str) -> str:
    """Where the keys of a unit's rows lie."""
    return folder.path("keys", f"{unit}.parquet")


def write_bucketed(
    uri: str,
    keys: Keys,
    beside: Mapping[str, pa.Array],
    buckets: int,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Store keys (`high`, `low`) and the columns beside them, one row group a bucket."""
    bucket = keys[:, 0].view(np.uint64) % np.uint64(buckets)
    order = np.argsort(bucket, kind="stable")
    ends = np.cumsum(np.bincount(bucket.astype(np.int64), minlength=buckets))
    table = pa.table({"high": keys[:, 0], "low": keys[:, 1], **beside}).take(order)
    starts = np.concatenate([[0], ends[:-1]])
    groups = [table.slice(int(a), int(b - a)) for a, b in zip(starts, ends, strict=True)]
    write_grouped(uri, groups, dict(notes or {}))


def read_bucket(uris: Sequence[str], bucket: int, columns: Sequence[str]) -> pa.Table:
    """Row group `bucket` of several sidecars, in their order; `origin` is the sidecar's number.

    TableError where one is missing.
    """
    with ThreadPoolExecutor(_PARALLEL) as pool:
        found = list(pool.map(lambda uri: _group(uri, bucket, columns), uris))
    if not found:
        kinds = {"file": pa.string(), "stays": pa.bool_()}
        return pa.table({n: pa.array([], kinds.get(n, pa.int64())) for n in (*columns, "origin")})
    origin = np.repeat(np.arange(len(found)), [len(table) for table in found])
    return pa.concat_tables(found).append_column("origin", pa.array(origin))


def key_halves(table: pa.Table, high: str = "high", low: str = "low") -> Keys:
    """The two columns of a key as an (n, 2) array."""
    halved: Keys = np.stack([table[name].to_numpy() for name in (high, low)], axis=1)
    return halved


def same_as_before(keys: Keys) -> npt.NDArray[np.bool_]:
    """Which keys equal the one before them; the first does not."""
    again: npt.NDArray[np.bool_] = np.zeros(len(keys), bool)
    again[1:] = (keys[1:] == keys[:-1]).all(axis=1)
    return again


def first_of_each(
    order: npt.NDArray[np.int64], again: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """For each row the first row of its key; `again` marks equal neighbours in `order`."""
    run = np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))
    first = np.empty(len(order), np.int64)
    first[order] = order[run]
    return first


def hashed(ids: Any) -> Keys:
    """Blake2b-128 over the bytes of each string; ValueError on a null."""
    array = _one(ids)
    if array.null_count:
        raise ValueError("an id is null")
    if not len(array):
        return np.empty((0, 2), np.int64)
    view, offsets = _bytes(array)
    hashes = b"".join(
        blake2b(view[start:stop], digest_size=16).digest() for start, stop in pairwise(offsets)
    )
    return np.frombuffer(hashes, "<i8").reshape(-1, 2)


def halves(hashes: Any) -> Keys:
    """A column of 16-byte hashes as keys; ValueError on a null or another length."""
    array = _one(hashes)
    if array.null_count:
        raise ValueError("a content_hash is null")
    if not len(array):
        return np.empty((0, 2), np.int64)
    view, offsets = _bytes(array)
    if not (np.diff(offsets) == 16).all():
        raise ValueError("a content_hash is not 16 bytes long")
    return np.frombuffer(view[int(offsets[0]) : int(offsets[-1])], "<i8").reshape(-1, 2)


def hashes_of(keys: Keys) -> pa.Array:
    """Keys as a binary column: the inverse of `halves`."""
    stored = pa.py_buffer(np.ascontiguousarray(keys, "<i8").tobytes())
    return pa.Array.from_buffers(pa.binary(16), len(keys), [None, stored]).cast(pa.binary())


def _bytes(array: Any) -> tuple[memoryview, npt.NDArray[np.int64]]:
    """The bytes of a column of strings or binaries, and where each value begins and ends."""
    binary = array.cast(pa.large_binary())
    _, spans, data = binary.buffers()
    offsets = np.frombuffer(memoryview(spans or b""), np.int64, len(binary) + 1, 8 * binary.offset)
    return memoryview(data or b""), offsets


def _one(column: Any) -> Any:
    """One array; of no chunk an empty one."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _group(uri: str, bucket: int, columns: Sequence[str]) -> pa.Table:
    with picked(uri) as file:
        there = [name for name in columns if file.schema_arrow.get_field_index(name) >= 0]
        table: pa.Table = file.read_row_group(bucket, columns=there)
    return table.select(there)
