"""Scores that a table has already: one row a pair and teacher, found by the id of the pair."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from operators.arrays import from_binary
from operators.storage.table import Table
from operators.text.hashes import content_hashes

pc: Any = pyarrow.compute  # the stubs know neither nulls as scalars nor every function

Scores = npt.NDArray[np.float32]
Marks = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int32]

_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_DIGEST = 16


def pair_ids(query_hashes: pa.Array, doc_hashes: pa.Array, teachers: pa.Array) -> pa.Array:
    """The id of each (query, document, teacher): hex blake2b-128 of the three end to end."""
    keys = pc.binary_join_element_wise(query_hashes, doc_hashes, teachers.cast(pa.binary()), b"")
    digests = from_binary(content_hashes(keys), _DIGEST)
    letters = np.stack([_HEX[digests >> 4], _HEX[digests & 15]], axis=2)
    return _strings(letters.reshape(len(digests), 2 * _DIGEST))


@dataclass(frozen=True)
class StoredScores:
    """The logits of one teacher in a scores table; reads one shard at a time."""

    uri: str
    version: int
    teacher: str
    """Its fingerprint, as the column `teacher` has it."""

    def of(self, query_hashes: pa.Array, doc_hashes: pa.Array) -> Scores:
        """The logit of each pair, NaN where the table has none; pairs may repeat."""
        teachers = pa.repeat(pa.scalar(self.teacher), len(query_hashes))
        ids = pair_ids(query_hashes, doc_hashes, teachers)
        few = ids.unique()
        found = np.full(len(few), np.nan, np.float32)
        for shard, which in _found(self.uri, self.version, few, ["id", "logit"]):
            found[which] = shard["logit"].to_numpy()
        return found[_places(ids, few)]


def known(uri: str, version: int, ids: pa.Array) -> Marks:
    """Which pair ids the table has at that version."""
    few = ids.unique()
    found = np.zeros(len(few), np.bool_)
    for _, which in _found(uri, version, few, ["id"]):
        found[which] = True
    return found[_places(ids, few)]


def _found(
    uri: str, version: int, few: pa.Array, columns: list[str]
) -> Iterator[tuple[pa.Table, Places]]:
    """Of each shard the rows whose ids are among a few, and which of these they have."""
    if not len(few):
        return
    for shard in Table(uri).read(columns, version):
        place = pc.index_in(shard["id"], value_set=few)
        yield shard.filter(place.is_valid()), place.drop_null().to_numpy()


def _places(ids: pa.Array, few: pa.Array) -> Places:
    """The place of each id among a few that hold it."""
    return np.asarray(pc.index_in(ids, value_set=few), np.int32)


def _strings(letters: npt.NDArray[np.uint8]) -> pa.Array:
    """Turn an (n, width) matrix of ASCII letters into n strings."""
    rows, width = letters.shape
    offsets: Any = np.arange(rows + 1, dtype=np.int32) * width
    data: Any = np.ascontiguousarray(letters).reshape(-1)
    return pa.Array.from_buffers(
        pa.string(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )
