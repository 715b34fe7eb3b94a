"""Objects read by exact ranges: a few rows of a large file cost a few requests."""

import io
from typing import Any

from operators.storage import uri as store
from operators.storage.bulk import range_reader

_SMALL = 64 << 10
"""Bytes that are kept: the end of a Parquet file, which of a small one is all that is asked for."""


class Ranges(io.RawIOBase):
    """The bytes of an object as a seekable stream that reads nothing ahead.

    A stream of the store's own fetches 50 MB at each seek, which suits reading a file through.
    """

    def __init__(self, uri: str) -> None:
        self._uri, self._read = uri, range_reader(uri)
        self.size = store.file_at(uri).size
        self._place = 0
        self._kept, self._kept_from = b"", 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place}.get(whence, self.size)
        return self._place

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes, by one request at most; b"" at the end."""
        left = max(self.size - self._place, 0)
        count = left if size is None or size < 0 else min(size, left)
        if not count:
            return b""
        start = self._place - self._kept_from
        data = self._kept[start : start + count] if start >= 0 else b""
        if len(data) < count:
            data = self._read(self._uri, self._place, self._place + count)
            if len(data) <= _SMALL:
                self._kept, self._kept_from = data, self._place
        self._place += len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
