"""Hashes of rows: what a text is, and which share of rows a sample keeps."""

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def content_hashes(text: pa.Array) -> pa.Array:
    """128-bit blake2b of each text's UTF-8 bytes; null where the text is null."""
    digests = [
        None if value is None else hashlib.blake2b(value, digest_size=16).digest()
        for value in _bytes(text)
    ]
    return pa.array(digests, pa.binary())


def shares(ids: pa.ChunkedArray, seed: int) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each id, drawn by a hash of the seed and the id."""
    key = seed.to_bytes(16, "little", signed=True)
    drawn = [
        int.from_bytes(hashlib.blake2b(value or b"", digest_size=6, key=key).digest(), "little")
        for chunk in ids.chunks
        for value in _bytes(chunk)
    ]
    return np.array(drawn, np.float64) / 2**48


def _bytes(array: pa.Array) -> Iterator[memoryview | None]:
    """The bytes of each string of an array, without a copy; None for a null."""
    if not len(array):
        return
    _, bounds, data = array.buffers()
    offsets = np.frombuffer(memoryview(bounds or b""), np.int32)[array.offset :][: len(array) + 1]
    view = memoryview(data) if data is not None else memoryview(b"")
    valid = np.asarray(array.is_valid())
    start = int(offsets[0])
    for stop, present in zip(map(int, offsets[1:]), valid, strict=True):
        yield view[start:stop] if present else None
        start = stop
