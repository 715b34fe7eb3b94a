"""Large objects written piece by piece, published whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from operators.storage.parts import Parts
from operators.storage.refusals import explained
from operators.storage.uri import filesystem, is_local


class Sink(Protocol):
    """Where the bytes of an object go."""

    def write(self, data: memoryview, /) -> int: ...


@contextmanager
def open_output(uri: str) -> Iterator[Sink]:
    """A stream that becomes the object when the block ends well, and nothing when it raises."""
    fs, path = filesystem(uri)
    local = is_local(uri)
    part = f"{path}.{os.getpid()}.{os.urandom(4).hex()}.part" if local else path
    with explained(uri):
        if local:
            fs.makedirs(fs._parent(path), exist_ok=True)
        stream = Parts(fs, uri) if _has_parts(fs) else fs.open(part, "wb")
    try:
        yield stream
        with explained(uri):
            stream.close()
            if local:
                os.replace(part, path)  # noqa: PTH105 - fsspec paths are strings
    except BaseException:
        _abandon(stream, part, local=local)
        raise


def _has_parts(fs: Any) -> bool:
    """Whether the store is S3, as s3fs speaks to it."""
    return "s3" in fs.protocol


def _abandon(stream: Any, part: str, *, local: bool) -> None:
    """Leave nothing of a half-written object, and let no finaliser publish it later."""
    if local:
        stream.close()
        with suppress(FileNotFoundError):
            os.unlink(part)  # noqa: PTH108
        return
    with suppress(Exception):  # the first error is the one to report
        stream.discard()
    stream.closed = True
