"""Random numbers that belong to a query and a document, so that neither shards nor order matter."""

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.arrays import whole
from operators.mine.pool import Places

Keys = npt.NDArray[np.uint64]
Draws = npt.NDArray[np.float64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def keys(ids: pa.Array, seed: int, purpose: str = "") -> Keys:
    """64 bits for each id by blake2b, keyed by the seed and by what they are drawn for."""
    key = seed.to_bytes(16, "little", signed=True) + purpose.encode()
    drawn = [
        int.from_bytes(hashlib.blake2b(value, digest_size=8, key=key).digest(), "little")
        for value in as_bytes(ids)
    ]
    return np.array(drawn, np.uint64)


def document_keys(ids: pa.ChunkedArray, rows: Places) -> Keys:
    """The key of the document in each row; the same for every seed and purpose."""
    used, place = np.unique(rows, return_inverse=True)
    return keys(whole(ids.take(used)), 0)[place]


def as_bytes(texts: pa.Array) -> Iterable[bytes]:
    """The UTF-8 bytes of each text; none may be null."""
    values: Iterable[bytes] = texts.cast(pa.binary()).to_numpy(zero_copy_only=False)
    return values


def mixed(a: Keys, b: Keys) -> Keys:
    """64 bits for each pair of keys; the finaliser of SplitMix64 over a + golden ratio x b."""
    bits = a + b * _GOLDEN
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed_bits: Keys = bits ^ (bits >> np.uint64(31))
    return mixed_bits


def uniforms(bits: Keys) -> Draws:
    """Numbers in (0, 1), both ends left out, of the upper 53 bits."""
    drawn: Draws = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) / 2**53
    return drawn


def drawn_rows(query_ids: pa.Array, seed: int, rows: int, count: int) -> Places:
    """(q, count) rows of `rows`, drawn by (seed, query id); -1 where one would be repeated.

    They are numbers: documents in another order, or one more, give other documents.
    """
    bits = mixed(keys(query_ids, seed, "fill")[:, None], np.arange(count, dtype=np.uint64)[None])
    drawn = (uniforms(bits) * rows).astype(np.int64)
    if not rows:
        return np.full(drawn.shape, -1, np.int64)
    order = np.argsort(drawn, axis=1, kind="stable")
    ordered = np.take_along_axis(drawn, order, axis=1)
    ordered[:, 1:][ordered[:, 1:] == ordered[:, :-1]] = -1
    np.put_along_axis(drawn, order, ordered, axis=1)
    return drawn
