import gc
import os

import pytest

from operators.storage import uri
from operators.storage.stream import open_output

BIG = os.urandom(1 << 20) * 60
"""More than one part of a multipart upload (50 MiB)."""


@pytest.mark.parametrize("data", [b"", b"small", BIG])
def test_what_was_written_is_there_after_the_block(store: str, data: bytes) -> None:
    place = uri.join(store, "f/x")
    with open_output(place) as stream:
        stream.write(data[:3])
        stream.write(data[3:])
        assert uri.size_of(place) is None
    assert uri.size_of(place) == len(data)
    assert uri.read_bytes(place)[-7:] == data[-7:]
    assert uri.names_in(uri.join(store, "f")) == ["x"]


@pytest.mark.parametrize("data", [b"small", BIG])
def test_a_block_that_raises_leaves_nothing_now_or_later(store: str, data: bytes) -> None:
    place = uri.join(store, "f/x")
    with pytest.raises(RuntimeError, match="half way"), open_output(place) as stream:
        stream.write(data)
        raise RuntimeError("half way")
    del stream
    gc.collect()
    assert uri.list_names(uri.join(store, "f")) == []


def test_an_object_stays_until_its_replacement_is_whole(store: str) -> None:
    place = uri.join(store, "x")
    uri.write_bytes(place, b"old")
    with open_output(place) as stream:
        stream.write(b"new")
        assert uri.read_bytes(place) == b"old"
    assert uri.read_bytes(place) == b"new"
