"""Rows of one shared table for the values of any feature, by stable hashes."""

from hashlib import blake2b

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
_SIGNS_A_HASH = 512


def bucket(name: str, chunk: int, value: str, rows: int) -> int:
    """The row of a table of `rows` that a feature's value has in a chunk: the same everywhere.

    The salt is the feature's name, not its place, so a feature that comes or goes moves no other.
    """
    told = name.encode("utf-8", "surrogatepass")
    salt = b"%d:%s:%d:" % (len(told), told, chunk)
    found = blake2b(salt + value.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(found, "little") % rows


def signs(seed: int, rows: npt.NDArray[np.int64], width: int) -> Matrix:
    """Rows of the table that nobody trained: signs of length one, made as they are asked for."""
    found = np.empty((len(rows), width), np.float32)
    for place, row in enumerate(rows):
        calls = range(-(-width // _SIGNS_A_HASH))
        drawn = b"".join(blake2b(b"%d:%d:%d" % (seed, row, call)).digest() for call in calls)
        bits = np.unpackbits(np.frombuffer(drawn, np.uint8), count=width)
        found[place] = bits * np.float32(2) - np.float32(1)
    return found / np.float32(np.sqrt(width))
