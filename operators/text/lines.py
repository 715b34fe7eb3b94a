"""Lines of a piece of a text file: plain byte ranges, or a compressed file as one stream."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import IOBase
from typing import BinaryIO, NamedTuple, Protocol, cast

import pyarrow as pa

from operators.errors import DamageError, PassingError
from operators.storage import uri as store
from operators.text.source import Piece, Source

_CHUNK = 1 << 20
_INFLATED_CHUNK = 64 << 10
"""What lies between the last whole chunk and the damage of a compressed file is lost."""
_BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line without its end; `data` is None where it is longer than anybody could use."""

    offset: int
    data: bytes | None
    size: int


class Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def longest_line(source: Source) -> int:
    """Bytes a line may have before it is skipped unread: JSON escapes a byte by up to six."""
    return 8 * source.max_text_bytes + _CHUNK


def piece_lines(piece: Piece, longest: int) -> Iterator[Line]:
    """The lines whose first byte lies in the piece, in order; blank lines among them.

    SourceError when the file changed since it was listed, vanished, or ends in mid-stream.
    """
    with unchanged(piece) as stream:
        if piece.compression:
            inflated = pa.CompressedInputStream(
                pa.PythonFile(cast(IOBase, stream), "r"), piece.compression
            )
            yield from split_lines(inflated, 0, longest, _INFLATED_CHUNK)
            return
        begin = max(piece.start - 1, 0)
        stream.seek(begin)
        lines = split_lines(stream, begin, longest)
        if piece.start:
            next(lines, None)  # the end of a line that belongs to the range before
        for line in lines:
            if line.offset >= piece.stop:
                return
            yield line


def split_lines(
    stream: Stream, position: int, longest: int, chunk_bytes: int = _CHUNK
) -> Iterator[Line]:
    """Cut a stream at each newline; memory holds one chunk and one line of at most `longest`."""
    pending, dropped = b"", 0
    while chunk := stream.read(chunk_bytes):
        *complete, pending = (pending + chunk).split(b"\n")
        for data in complete:
            size = dropped + len(data)
            yield _line(position, data, size, longest)
            position, dropped = position + size + 1, 0
        if dropped or len(pending) > longest:
            pending, dropped = b"", dropped + len(pending)
    if pending or dropped:
        yield _line(position, pending, dropped + len(pending), longest)


@contextmanager
def unchanged(piece: Piece) -> Iterator[BinaryIO]:
    """The raw bytes of the piece's file; SourceError unless it is the version that was listed."""
    found = store.file_at(piece.uri)
    if found.size != piece.size or (piece.version and found.version != piece.version):
        raise PassingError(piece.uri, "it changed after it was listed; plan again")
    with damage_explained(piece.uri), store.open_input(piece.uri) as stream:
        yield stream


@contextmanager
def damage_explained(uri: str) -> Iterator[None]:
    """Turn a broken stream or file into one sentence."""
    with store.explained(uri):
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, (FileNotFoundError, PermissionError)) or _is_remote(error):
                raise
            reason = str(error).partition("\n")[0]
            raise DamageError(uri, f"the file is damaged or cut short ({reason})") from error


def _is_remote(error: BaseException) -> bool:
    """Whether the store failed rather than the file: s3fs chains what botocore said."""
    return error.__cause__ is not None


def _line(offset: int, data: bytes, size: int, longest: int) -> Line:
    if size > longest:
        return Line(offset, None, size)
    return Line(offset, data.removeprefix(_BOM) if offset == 0 else data, size)
