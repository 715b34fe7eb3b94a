import io

import pytest

from operators.errors import SourceError
from operators.storage import uri as storage
from operators.storage.ranges import Ranges


def test_an_object_is_read_from_any_place_to_its_end(store) -> None:
    uri = f"{store}/a.bin"
    storage.write_bytes(uri, bytes(range(100)))
    with Ranges(uri) as stream:
        assert stream.seek(90) == 90
        assert stream.read(4) == bytes(range(90, 94))
        assert (stream.tell(), stream.read(50), stream.read(1)) == (94, bytes(range(94, 100)), b"")
        assert stream.seek(-3, io.SEEK_END) == 97
        assert stream.seek(-1, io.SEEK_CUR) == 96
        assert stream.read() == bytes(range(96, 100))
        assert (stream.seek(500), stream.read(1)) == (500, b"")
        stream.seek(0)
        buffer = bytearray(3)
        assert (stream.readinto(buffer), bytes(buffer)) == (3, bytes(range(3)))


def test_an_object_that_is_not_there_is_one_sentence(store) -> None:
    with pytest.raises(SourceError, match="not found"):
        Ranges(f"{store}/nothing")
